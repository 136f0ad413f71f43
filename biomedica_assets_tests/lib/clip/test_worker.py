"""The parts that are put around open_clip_train, without a training."""

import logging

import pytest
import torch

from biomedica_assets.lib.clip import worker


class Written(worker.Events):
    def __init__(self):
        self.events = []

    def write(self, **event):
        self.events.append(event)


def streams(*names):
    return [{"url": name} for name in names]


def reader(fail):
    """Each stream has five samples; ``fail`` maps a stream to the tries that break off after two."""
    tries = dict(fail)

    def read(src):
        for stream in src:
            for n in range(5):
                if n == 2 and tries.get(stream["url"], 0) > 0:
                    tries[stream["url"]] -= 1
                    raise OSError("connection reset")
                yield {"key": f"{stream['url']}{n}"}

    return read


def test_a_stream_that_breaks_once_loses_and_repeats_nothing():
    events = Written()
    found = worker.samples_of_streams(streams("a", "b"), reader({"a": 1}), retries=2, most_broken=0, events=events)
    assert [s["key"] for s in found] == [f"{name}{n}" for name in "ab" for n in range(5)]
    assert [e["kind"] for e in events.events] == ["retry"]


def test_a_stream_that_stays_broken_is_counted_and_skipped():
    events = Written()
    found = worker.samples_of_streams(streams("a", "b"), reader({"a": 9}), retries=2, most_broken=1, events=events)
    assert [s["key"] for s in found] == ["a0", "a1", *(f"b{n}" for n in range(5))]
    assert [e["kind"] for e in events.events] == ["retry", "retry", "broken"]


def test_more_broken_streams_than_allowed_end_the_run():
    found = worker.samples_of_streams(streams("a"), reader({"a": 9}), retries=0, most_broken=0, events=Written())
    with pytest.raises(worker.StreamsBroken, match="1 virtual shards could not be read"):
        list(found)


def test_the_buffer_shuffles_by_seed_and_loses_nothing():
    samples = [{"n": n} for n in range(200)]
    one = [s["n"] for s in worker.shuffled(samples, 50, "0:1:0:0")]
    assert one == [s["n"] for s in worker.shuffled(samples, 50, "0:1:0:0")]
    assert one != [s["n"] for s in worker.shuffled(samples, 50, "0:2:0:0")]
    assert sorted(one) == list(range(200)) != one


def test_a_loss_that_is_no_number_is_noticed_and_never_saved(tmp_path):
    guard = worker.LossGuard()
    backward = guard.watch(lambda loss, scaler: None)
    backward(torch.tensor(1.0), None)
    guard.check()
    save = worker.durable_save(torch.save, guard)
    save({"x": 1}, tmp_path / "good.pt")
    backward(torch.tensor(float("inf")), None)
    backward(torch.tensor(1.0), None)
    with pytest.raises(worker.LossNotFinite):
        save({"x": 2}, tmp_path / "good.pt")
    assert torch.load(tmp_path / "good.pt", weights_only=True) == {"x": 1}


def test_weights_that_are_no_numbers_are_never_saved(tmp_path):
    """A finite loss may still have an update after it that is not, or another device's loss was not."""
    save = worker.durable_save(torch.save, worker.LossGuard())
    with pytest.raises(worker.LossNotFinite, match="the weights w are not finite"):
        save({"state_dict": {"w": torch.tensor([float("nan")])}}, tmp_path / "x.pt")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_last_checkpoint_whole(tmp_path):
    """The file is written under another name first; what the name held stays until the new one is complete."""

    def full(content, target, *args, **kwargs):
        target.write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    (tmp_path / "x.pt").write_bytes(b"last good")
    with pytest.raises(Exception, match="No space left"):
        worker.durable_save(full, worker.LossGuard())({}, tmp_path / "x.pt")
    assert (tmp_path / "x.pt").read_bytes() == b"last good"
    assert [p.name for p in tmp_path.iterdir()] == ["x.pt"]


def test_log_lines_of_open_clip_become_events():
    events = Written()
    handler = worker.ProgressHandler(events, worker.LossGuard())
    line = (
        "Train Epoch: 3 [ 128/600 (20%)] Data (t): 0.012 Batch (t): 0.210, 304.1/s, 304.1/s/gpu "
        "LR: 0.000100 Logit Scale: 14.286 Contrastive_loss: 3.1 (3.2) Loss: 2.5000 (2.6)"
    )
    handler.emit(logging.LogRecord("root", logging.INFO, "", 0, line, (), None))
    handler.emit(logging.LogRecord("root", logging.INFO, "", 0, "Start epoch 3", (), None))
    assert [(e["epoch"], e["samples"], e["of"], e["loss"], e["rate"]) for e in events.events] == [
        (3, 128, 600, 2.5, 304.1)
    ]
