from __future__ import annotations

from servable.domain.field import Field
from servable.offline.work import publish
from servable.stores.tables.generation import Generation
from servable.stores.tables.history import roll_back
from servable.stores.tables.open import open_tables


def test_so_many_generations_stay_and_first_those_that_were_rolled_back_go(tmp_path):
    tables = open_tables(tmp_path)

    def made(number):
        stated = Generation("t", "m", "1", "d", 1000.0, "text", (Field("y", "FP32"),))
        with tables.begin(stated) as writer:
            writer.write([b"a"], [b"%d" % number])
            publish(tables, writer.finish(), keep=2)
        return [one.number for one in tables.generations("t")]

    assert [made(number) for number in range(1, 4)] == [[1], [1, 2], [2, 3]]
    assert roll_back(tables, "t").number == 2
    assert made(4) == [2, 4]  # what was found wanting is no way back
    assert roll_back(tables, "t").number == 2
    assert tables.read("t", [b"a"]).answers == [b"2"]
    tables.close()
