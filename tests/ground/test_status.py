"""Every outcome has a name and a sentence."""

from __future__ import annotations

import numpy as np
import pytest

from rosse.status import MEANING, Status, labels


@pytest.mark.parametrize("status", Status)
def test_every_status_has_a_label_and_a_meaning(status: Status) -> None:
    assert Status[status.label.upper()] is status
    assert len(status.meaning) > 10


def test_meanings_and_states_match() -> None:
    assert set(MEANING) == set(Status)


def test_labels_of_codes() -> None:
    codes = np.array([int(Status.OK), int(Status.NOT_CONVERGED)])
    assert labels(codes).tolist() == ["ok", "not_converged"]
    assert labels([]).shape == (0,)


def test_a_code_without_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match="99"):
        labels([99])
