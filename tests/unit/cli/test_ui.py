import httpx2

from tests.unit.api.fake import Running
from tests.unit.cli.conftest import Run


def test_a_link_is_printed_that_lets_in(server: Running, cli: Run) -> None:
    code, out, err = cli("ui")
    assert code == 0
    address, _, secret = out.strip().partition("#enter=")
    assert address == f"http://127.0.0.1:{server.web}/ui"
    assert "opens once, within 1 min" in err
    headers = {"Authorization": f"Bearer {secret}"}
    entered = httpx2.post(f"{address}/enter", headers=headers, trust_env=False)
    assert entered.json()["token"]
