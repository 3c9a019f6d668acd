"""The sample files in etc/ say what the code says: ``make config`` writes them anew."""
import io
import pathlib

from oslo_config import cfg, generator
from oslo_policy import generator as policy_generator

import obsvc.conf
from obsvc.api.access import policy

ETC = pathlib.Path(__file__).parents[2] / "etc" / "obsvc"


def _blocks(text: str) -> set[str]:
    return {block.strip() for block in text.split("\n\n") if block.strip()}


def test_the_configuration_sample_has_every_option_as_it_is_now():
    """Only obsvc's own options: the libraries' change with their versions."""
    conf = cfg.ConfigOpts()
    generator.register_cli_opts(conf)
    conf(["--namespace", "obsvc", "--wrap-width", "100"])
    written = io.StringIO()
    generator.generate(conf, output_file=written)
    sample = _blocks((ETC / "obsvc.conf.sample").read_text())
    missing = {block for block in _blocks(written.getvalue()) if block.startswith("#") and block not in sample}
    missing = {block for block in missing if "=" in block}
    assert not missing, f"run make config: {sorted(missing)[:3]}"
    count = sum(len(options) for _, options in obsvc.conf.list_opts())
    assert count > 60, "the sample was compared with something"


def test_the_policy_sample_has_every_rule_as_it_is_now():
    sample = (ETC / "policy.yaml.sample").read_text()
    for rule in policy.list_rules():
        section = policy_generator._format_rule_default_yaml(rule)
        assert section in sample, f"run make config: {rule.name}"
