"""The second try of a test that hangs ends as the first does."""

import os
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).parents[2]


def test_the_second_try_has_a_timeout_too(tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text("import time\ndef test_hangs(): time.sleep(600)\n")
    words = [sys.executable, "-m", "pytest", "-c", "/dev/null", "--rootdir", str(tmp_path)]
    for plugin in ("pytest_timeout", "pytest_rerunfailures", "tests.again"):
        words += ["-p", plugin]
    words += ["-p", "no:cacheprovider", "--reruns=1", "--timeout=1", str(tmp_path)]
    env = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    ran = subprocess.run(words, cwd=REPO, env=env, capture_output=True, text=True, check=False)
    assert "1 failed, 1 rerun" in ran.stdout, ran.stdout + ran.stderr
