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


def test_the_key_goes_into_no_file_that_somebody_put_in_its_way(tmp_path):
    file = tmp_path / "canaries.json"
    theirs = tmp_path / "theirs"
    theirs.write_text("")
    for name in (f"{file.name}.new", f"{file.name}.tmp"):
        (tmp_path / name).symlink_to(theirs)
    assert main(["canary", "new", "--file", str(file), "--name", "old passwords"]) == 0
    assert theirs.read_text() == ""
    assert not file.is_symlink()
