"""The card of a model of votes: what it is, from what it was made, and how far to trust it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rosse.votes.model import VoteModel
    from rosse.votes.quantity_model import QuantityModel

_NOTES = """
`error` is the mean absolute difference between expected and given shares, `chance` what of it is due to the number of
votes alone. `coverage` is of the votes by the central 90 % of what was expected of them. Posteriors were recalibrated
with the validation galaxies; `temperature` and `concentration` say by how much (1: not at all).
"""


def card_text(model: VoteModel) -> str:
    """The card in Markdown, for people; `model.json` holds the same for programs."""
    card, member = model.card, model.members[0]
    data, preparation = card["data"], model.preparation
    kind = "pictures" if preparation.picture else "fluxes in units of noise"
    title = f"{model.tree.name}, {model.tree.version}" if model.tree.version else model.tree.name
    lines = [
        f"# Votes of {model.tree.title or model.tree.name}",
        "",
        f"- weights: {model.hash}",
        f"- tree: {title} ({card['tree_hash']})",
        f"- network: {member.spec.encoder.name}, {card['parameters']} parameters, {len(model.members)} in the "
        f"ensemble, {model.draws} draws of dropout, {model.views} views",
        f"- images: {kind} in {', '.join(preparation.bands)}, {preparation.side} x {preparation.side} pixels",
        f"- data: {data['galaxies']} galaxies ({data['hash']}): {data['learnt_from']} to learn from, "
        f"{data['validated_and_recalibrated_with']} to validate and recalibrate with, "
        f"{data['judged_with']} to judge with",
        f"- started from: {card['started_from']}",
        f"- epochs: {', '.join(str(count) for count in card['epochs'].values())}",
        "- made with: " + ", ".join(f"{name} {value}" for name, value in card["made_with"].items()),
        *(["", card["story"]] if card.get("story") else []),
        "",
        "| question | galaxies | ln p | error | chance | calibration error | coverage | temperature | concentration |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for each in card["scores"]:
        name = each["question"]
        numbers = [each[key] for key in ("log_probability", "error", "floor", "calibration_error", "coverage")]
        numbers += [model.calibration.temperature[name], model.calibration.concentration[name]]
        lines.append(f"| {name} | {each['galaxies']} | " + " | ".join(f"{value:.3f}" for value in numbers) + " |")
    return "\n".join([*lines, _NOTES, *_truth(card.get("truth_covered", {})), *_coverage(card.get("coverage", {}))])


def _truth(covered: Mapping[str, float]) -> list[str]:
    """Coverage of true shares, where they are known."""
    if not covered:
        return []
    lines = [f"| {name} | {value:.3f} |" for name, value in covered.items()]
    return ["Coverage of the true shares of virtual volunteers, by 5 % and 95 % quantiles:", "",
            "| question | coverage |", "|---|---|", *lines, ""]  # fmt: skip


def quantity_card(model: QuantityModel) -> str:
    """The card of a model of numbers."""
    card, member, data = model.card, model.members[0], model.card["data"]
    lines = [
        f"# Estimates of {', '.join(model.names)}",
        "",
        f"- weights: {model.hash}",
        f"- network: {member.spec.encoder.name}, {card['parameters']} parameters, {len(model.members)} in the "
        f"ensemble, {model.draws} draws of dropout, {model.views} views",
        f"- data: {data['galaxies']} galaxies ({data['hash']}): {data['learnt_from']} to learn from, "
        f"{data['validated_and_recalibrated_with']} to validate and recalibrate with, "
        f"{data['judged_with']} to judge with",
        f"- started from: {card['started_from']}",
        "- made with: " + ", ".join(f"{name} {value}" for name, value in card["made_with"].items()),
        "",
        "| number | galaxies | rms error | scatter of the labels | rank correlation | coverage | width |",
        "|---|---|---|---|---|---|---|",
    ]
    for each, width in zip(card["scores"], model.widths, strict=True):
        numbers = [each[key] for key in ("error", "scatter", "rank_correlation", "coverage")] + [width]
        lines.append(f"| {each['quantity']} | {each['galaxies']} | " + " | ".join(f"{n:.3f}" for n in numbers) + " |")
    notes = ("", "`coverage` is of the labels by the central 90 % of what was expected; `width` is the factor of the "
             "errors that the galaxies held out asked for.", "")  # fmt: skip
    return "\n".join([*lines, *notes, *_coverage(card.get("coverage", {}))])


def _coverage(by: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Coverage of the votes in bins of magnitude, size, redshift."""
    if not by:
        return []
    lines = ["| quantity | from | to | galaxies | coverage |", "|---|---|---|---|---|"]
    for name, bins in by.items():
        rows = zip(bins["low"], bins["high"], bins["galaxies"], bins["coverage"], strict=True)
        lines += ["| {} | {:.3g} | {:.3g} | {} | {:.3f} |".format(name, *row) for row in rows]
    return ["Coverage by what galaxies are like, all questions together:", "", *lines, ""]
