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
