"""``kaizen canary``: bait is kept where its owner says."""

from __future__ import annotations

from kaizen_security.cli import main


def test_the_first_canary_makes_the_folders_of_its_file_for_its_owner_alone(capsys, tmp_path):
    file = tmp_path / ".config" / "kaizen" / "canaries.json"
    assert main(["canary", "new", "--file", str(file), "--name", "old passwords"]) == 0
    assert (file.parent.stat().st_mode & 0o777, file.stat().st_mode & 0o777) == (0o700, 0o600)
    value = capsys.readouterr().out.split()[-1]
    assert value not in file.read_text()
    assert main(["canary", "list", "--file", str(file)]) == 0
    assert "old passwords" in capsys.readouterr().out
