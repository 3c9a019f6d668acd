import logging

from obsvc.process.outage_log import OutageLog

LOG = logging.getLogger("tests.outage")


def lines(caplog):
    return [(record.levelname, record.getMessage()) for record in caplog.records]


def test_one_line_when_it_fails_and_one_when_it_works_again(caplog):
    caplog.set_level(logging.INFO, LOG.name)
    outage = OutageLog(LOG, "marks can't be stored")
    outage.recovered()
    assert lines(caplog) == [] and not outage.failing
    outage.failed(ValueError("one"))
    outage.failed(ValueError("two"))
    assert outage.failing
    outage.recovered()
    outage.recovered()
    assert lines(caplog) == [
        ("WARNING", "marks can't be stored, trying again: one"), ("INFO", "over: marks can't be stored"),
    ]
    outage.failed(ValueError("three"))
    assert len(caplog.records) == 3


def test_with_words_of_its_own(caplog):
    caplog.set_level(logging.INFO, LOG.name)
    outage = OutageLog(LOG, "waiting for the engine", back="the engine answers", note="")
    outage.failed(ValueError("refused"))
    outage.recovered()
    assert [line for _, line in lines(caplog)] == ["waiting for the engine: refused", "the engine answers"]
