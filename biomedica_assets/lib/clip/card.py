"""The model card that lies beside the weights of a recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from biomedica_assets.lib.clip.profile import Profile


def model_card(
    recipe: str,
    profile: Profile,
    rows: Sequence[Mapping[str, object]],
    account: Mapping[str, Any],
    cost: Mapping[str, Any],
) -> str:
    """Markdown: what was trained on what, how it did on validation, what it cost, what it is not for."""
    lines = [
        "---",
        "library_name: open_clip",
        "pipeline_tag: zero-shot-image-classification",
        "tags: [biomedical, clip, pubmed-central]",
        "---",
        "",
        f"# CLIP on the recipe `{recipe}`, profile `{profile.name}`",
        "",
        f"Architecture `{profile.model}`, started from {_base(profile)}. Numbers of the profile: {profile.source}.",
        "",
        "| weights | role | alpha | " + str(account["metric"]).replace("_", " ") + " (validation) | best |",
        "|---|---|---:|---:|---|",
    ]
    lines += [
        f"| `{row['path']}` | {row['role']} | {row['alpha']:g} | {row['score']:.4f} | {'yes' if row['best'] else ''} |"
        for row in rows
    ]
    lines += [
        "",
        "Base, trained and interpolated weights are scored apart: a gain of the interpolation is not one of the data.",
        "",
        "## Load",
        "",
        "```python",
        "import open_clip",
        'open_clip.add_model_config("model.json")  # beside the weights; its stem is the name of the model',
        "model, _, preprocess = open_clip.create_model_and_transforms(",
        f'    "model", pretrained="trained.safetensors", image_mean={account["mean"]}, image_std={account["std"]},',
        f'    image_interpolation="{account["interpolation"]}", image_resize_mode="{account["resize_mode"]}",',
        ")",
        "```",
        "",
        "## Data",
        "",
        f"Recipe digest `{account['data_digest']}`; {account['samples_seen']:,} samples seen in "
        f"{account['epochs']} epochs of {account['samples_an_epoch']:,} "
        f"({account['samples_unreadable']:,} others are in formats that were not read); "
        f"batch {account['batch_size']:,}. Validation and test articles, "
        "and near-duplicates of their figures, were held out.",
        "",
        "## Cost",
        "",
        f"* {account['flops']:.3g} floating-point operations ({account['flops_per_sample']:.3g} a sample, estimated)",
        f"* {cost['training_seconds']} s of training on {cost['device']}, {cost['samples_per_second']} samples/s",
        f"* peak memory {(cost['peak_bytes'] or 0) / 1e9:.2f} GB; energy "
        + (f"{cost['energy_joules'] / 3.6e6:.3f} kWh" if cost.get("energy_joules") else "not reported by the device"),
        f"* code {cost['git_commit'] or 'outside of a checkout'}; "
        + ", ".join(f"{name} {version}" for name, version in cost["versions"].items()),
        "",
        "## Limits",
        "",
        "Trained on figures of scientific articles and their captions. Not a medical device; not validated for any "
        "clinical use.",
        "",
    ]
    return "\n".join(lines)


def _base(profile: Profile) -> str:
    return f"`{profile.pretrained}`" if profile.pretrained else "random weights"
