from __future__ import annotations

from tests.offline.push.consumers import webhook
from tests.offline.test_routes import fill


def test_tables_are_listed_read_rolled_back_and_dropped(command):
    assert command("table", "list").err.startswith("There are no tables")
    fill(command.home)
    fill(command.home, count=3)
    (told,) = command("table", "list", "--json").json
    assert (told["table"], told["generation"], told["live"], told["rows"], told["model"]) == (
        "churn", 2, True, 3, "scaler:1",
    )  # fmt: skip
    assert [(one["generation"], one["live"]) for one in command("table", "list", "churn", "--json").json] == [
        (1, False),
        (2, True),
    ]
    assert command("table", "get", "churn", "2").out == '{"key": "2", "y": [4.0, 2.0]}\n'
    assert "has no row '7'" in command("table", "get", "churn", "7", code=1).err
    assert command("table", "rollback", "churn").out == "churn: generation 1, by scaler:1, is live\n"
    assert command("table", "get", "churn", "7", "--json").json["rows"] == [{"y": [14.0, 7.0]}]
    assert "nothing to roll back to" in command("table", "rollback", "churn", code=1).err
    assert "is live" in command("table", "drop", "churn", "--generation", "1", code=1).err
    command("table", "drop", "churn", "--generation", "2")
    assert command("table", "drop", "churn").out == "churn is gone\n"
    assert "there is no table 'churn'" in command("table", "get", "churn", "1", code=1).err


def test_a_table_is_pushed(command, monkeypatch):
    fill(command.home, count=3)
    with webhook() as hook:
        assert "a webhook is signed" in command("table", "push", "churn", "--to", hook.url, code=2).err
        monkeypatch.setenv("SERVABLE_WEBHOOK_SECRET", command("table", "secret").out.strip())
        told = command("table", "push", "churn", "--to", hook.url)
        assert told.out == "churn: 3 messages of generation 1 delivered\n"
        assert [message["key"] for message in hook.messages] == [0, 1, 2]
        fill(command.home, count=4)
        assert command("table", "push", "churn", "--to", hook.url, "--json").json["messages"] == 1
    folder = command.home / "out"
    command("table", "push", "churn", "--to", folder, "--all")
    assert len(list(folder.iterdir())) == 1
