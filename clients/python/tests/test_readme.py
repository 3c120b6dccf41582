"""What the two pages show is run as it is shown."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import System, receiving

HERE = Path(__file__).parent
SOURCE = HERE.parent / "src"
PAGES = [HERE.parent / "README.md", HERE.parents[2] / "README.md"]
SERVER = "nats://127.0.0.1:4222"

BLOCKS = [
    (f"{page.parent.name}-{number}", block)
    for page in PAGES
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL))
    if SERVER in block
]


def test_there_is_something_to_run() -> None:
    assert len(BLOCKS) == 5


@pytest.mark.parametrize("block", [block for _, block in BLOCKS], ids=[name for name, _ in BLOCKS])
def test_what_is_shown_publishes(block: str, system: System, tmp_path: Path) -> None:
    project = "demo-" + tmp_path.name.replace("[", "-").replace("]", "-")
    script = tmp_path / "shown.py"
    script.write_text(block.replace(SERVER, system.nats).replace('"demo"', f'"{project}"'))
    with receiving(system, project) as receiver:
        environment = dict(os.environ, PYTHONPATH=str(SOURCE))
        done = subprocess.run(
            [sys.executable, str(script)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert receiver.next()["project"]["id"] == project


def test_it_is_packaged(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run(
        [*command, "--no-build-isolation", "-w", str(tmp_path), str(HERE.parent)], check=True, timeout=60
    )
    (wheel,) = tmp_path.glob("dembrane_webhooks-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "dembrane_webhooks/py.typed" in names
    assert not [name for name in names if not name.startswith("dembrane_webhooks")]
