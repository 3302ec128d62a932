"""An independent client drives the double: it speaks the protocol that others speak, not one that we agreed on.

greenswitch runs in a process of its own: it is built on gevent, which cannot share a loop with asyncio.
"""

import asyncio
import json
import sys
from pathlib import Path

from tests.switch_double.double import Plan, SwitchDouble

CLIENT = """
import json, sys
import gevent
from greenswitch import InboundESL

said = {"events": []}
link = InboundESL(host="127.0.0.1", port=int(sys.argv[1]), password="ClueCon")
link.connect()
parked = gevent.event.AsyncResult()
armed = gevent.event.AsyncResult()
gone = gevent.event.AsyncResult()
link.register_handle("CHANNEL_PARK", lambda event: parked.set(event.headers))
link.register_handle("ADD_SCHEDULE", lambda event: armed.set(event.headers))
link.register_handle("CHANNEL_HANGUP_COMPLETE", lambda event: gone.set(event.headers))
said["subscribed"] = link.send("event plain CHANNEL_PARK ADD_SCHEDULE CHANNEL_HANGUP_COMPLETE").data
print("ready", flush=True)
headers = parked.get(timeout=30)
channel = headers["Unique-ID"]
names = ("Caller-Destination-Number", "variable_tollway_account", "variable_tollway_request")
said["park"] = {name: headers.get(name) for name in names}
said["setvar"] = link.send("api uuid_setvar %s one 1" % channel).data
said["setvar_multi"] = link.send("api uuid_setvar_multi %s two=a\\\\;b;three=it\\\\'s" % channel).data
said["getvar"] = [link.send("api uuid_getvar %s %s" % (channel, name)).data for name in ("one", "two", "three")]
said["sched_hangup"] = link.send("api sched_hangup +60 %s ALLOTTED_TIMEOUT" % channel).data
task = armed.get(timeout=30)
said["task"] = task["Task-Group"] == channel and task["Task-ID"].isdigit()
said["sched_del"] = link.send("api sched_del %s" % task["Task-ID"]).data
said["exists"] = link.send("api uuid_exists %s" % channel).data
said["show"] = json.loads(link.send("api show channels as json").data)["row_count"]
said["transfer"] = link.send("api uuid_transfer %s AUTH XML public" % channel).data
gevent.sleep(0.3)
said["kill"] = link.send("api uuid_kill %s OUTGOING_CALL_BARRED" % channel).data
headers = gone.get(timeout=30)
said["cause"] = headers["Hangup-Cause"]
gevent.sleep(0.1)
said["gone"] = link.send("api uuid_kill %s" % channel).data
print(json.dumps(said), flush=True)
"""


async def test_greenswitch_parks_sets_transfers_schedules_and_kills() -> None:
    async with SwitchDouble() as switch:
        client = await asyncio.create_subprocess_exec(
            sys.executable, "-W", "ignore", "-c", CLIENT, str(switch.port), stdout=asyncio.subprocess.PIPE
        )
        assert client.stdout is not None
        assert await asyncio.wait_for(client.stdout.readline(), 60) == b"ready\n"
        call = switch.play(Plan("acme", "2442071231234"))
        said = json.loads(await asyncio.wait_for(client.stdout.readline(), 60))
        client.kill()
        await client.wait()
    assert said == {
        "events": [], "subscribed": "+OK event listener enabled plain",
        "park": {
            "Caller-Destination-Number": "2442071231234", "variable_tollway_account": "acme",
            "variable_tollway_request": "true",
        },
        "setvar": "+OK\n", "setvar_multi": "+OK\n", "getvar": ["1", "a;b", "it's"], "sched_hangup": "+OK\n",
        "task": True, "sched_del": "+OK Deleted: 1\n", "exists": "true", "show": 1, "transfer": "+OK\n",
        "kill": "+OK\n", "cause": "OUTGOING_CALL_BARRED", "gone": "-ERR No such channel!\n",
    }  # fmt: skip
    assert call.transferred == ["AUTH", "XML", "public"]
    assert call.cause == "OUTGOING_CALL_BARRED"


def test_the_double_shares_nothing_with_what_it_tests() -> None:
    modules = list(Path(__file__).parents[1].glob("switch_double/*.py"))
    assert modules
    for module in modules:
        assert "import daemon" not in module.read_text()
        assert "from daemon" not in module.read_text()
