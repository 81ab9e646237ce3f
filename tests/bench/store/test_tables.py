from __future__ import annotations

import pandas as pd

from mmlego.bench.store.tables import one_table


def test_tables_stand_below_each_other_and_none_is_an_empty_one():
    part, none = pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"a": []})
    assert one_table([part, none, part], ["a"])["a"].tolist() == [1, 2, 1, 2]
    assert one_table([part, part], ["a"]).index.tolist() == [0, 1, 2, 3]
    assert list(one_table([none], ["a", "b"]).columns) == ["a", "b"]
    assert one_table([], ["a"]).empty
