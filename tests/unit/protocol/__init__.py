"""The protocol of ownership as a model: members, a network and a cloud that misbehave, over the real engine."""
