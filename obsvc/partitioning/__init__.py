"""Who owns which partition: members, assignment, claims.  Alone imports tooz."""
import warnings

# tooz imports futurist, which imports eventlet where that happens to be installed, which warns.  obsvc uses none of
# it: an operator should not read that on every start.
warnings.filterwarnings("ignore", message=r"(?s).*Eventlet is deprecated")
