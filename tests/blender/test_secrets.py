# SPDX-License-Identifier: GPL-3.0-or-later
"""The key and the links to files through every way in, with everybody listening: neither is found
in anything that is printed, logged, shown or written. And names that are made to do harm.
"""

from __future__ import annotations

import gzip
import json
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
import pytest
import sessions
import zstandard
from sessions import nothing_left, objects

from bl_ext.user_default.csm_retopo.scene import recents
from standin import ACCOUNT, FORBIDDEN_KEY, Fault, StandIn

__all__ = ["nothing_left"]

RunBlender = Callable[..., str]

_EVERY_WAY = """
import http.client, json, logging, os, random, sys, traceback
from pathlib import Path
import bpy, lifecycle

plan = json.loads(Path(sys.argv[2]).read_text())
lifecycle.install(sys.argv[1])
from bl_ext.user_default.csm_retopo import cli
from bl_ext.user_default.csm_retopo.api import downloads
from bl_ext.user_default.csm_retopo.scene import runner, sessions
from bl_ext.user_default.csm_retopo.scene.background import converter

# As --debug-all does, and whoever looks for a fault in another add-on.
for name in dir(bpy.app):
    is_switch = name.startswith("debug") and isinstance(getattr(bpy.app, name), bool)
    if is_switch and "depsgraph" not in name:
        setattr(bpy.app, name, True)
logging.basicConfig(level=logging.DEBUG, stream=sys.stdout, force=True)
for name in ("urllib3", "requests", "http.client"):
    logging.getLogger(name).setLevel(logging.DEBUG)
http.client.HTTPConnection.debuglevel = 1
random.uniform = lambda least, most: 0.01 * least  # of pauses between two tries

children = []
start = converter._Process.__init__


def watched(self, command):
    start(self, command)
    for kind in ("cmdline", "environ"):
        text = Path(f"/proc/{self._popen.pid}/{kind}").read_bytes().replace(b"\\0", b" ")
        children.append(text.decode())


converter._Process.__init__ = watched
preferences = sessions.preferences()
state = bpy.context.window_manager.csm_retopo
operators = bpy.ops.csm_retopo
outcomes = []


def attempt(way, **arguments):
    try:
        outcomes.append(str(way(**arguments)))
    except RuntimeError as error:
        trace = traceback.TracebackException.from_exception(error)
        print("".join(trace.format()).replace(plan["url"], ""))  # what this script itself has given
        outcomes.append("failed")
    print("MESSAGE", state.message)
    for each in bpy.context.window_manager.operators:
        print("OPERATOR", each.bl_idname, dict(each.properties))


def command(*arguments):
    outcomes.append(str(cli.main(["import", *arguments])))


session_id, url, folder = plan["id"], plan["url"], plan["folder"]
preferences.api_key = plan["key"]
bpy.ops.wm.save_userpref()
attempt(operators.import_session, session_id=session_id)
attempt(operators.write_report, filepath=plan["out"] + "/report.html", contact_sheet=True)
attempt(operators.import_session, session_id=url)
state.session_id = url
attempt(operators.import_session)
attempt(operators.import_session, session_id=plan["url_without_id"])
attempt(operators.import_cached, session_id=url)
attempt(operators.import_cached, session_id=plan["url_without_id"])
attempt(operators.import_folder, directory=folder)
attempt(operators.import_file, filepath=folder + "/session.json")
attempt(operators.request_another, session_id=session_id, wait=True)
attempt(operators.request_another, session_id=url)
attempt(operators.request_another, session_id=plan["url_without_id"])
attempt(operators.request_another, input_asset_id=plan["url_without_id"])
for kind in ("CSV", "JSON"):
    attempt(operators.export_table, filepath=f"{plan['out']}/table.{kind.lower()}", format=kind)
bpy.ops.wm.save_as_mainfile(filepath=plan["out"] + "/all.blend", compress=False)
bpy.ops.wm.save_as_mainfile(filepath=plan["out"] + "/small.blend", compress=True)
command(url, "--from-file", plan["list"], "--output", plan["out"], "--report")
command(folder, "--output", plan["out"], "--force")
without_scheme = plan["url_without_id"].removeprefix("https://")
command(plan["url_without_id"], without_scheme, "--output", plan["out"])
command("--from-file", url, "--output", plan["out"])
command(session_id, "--output", plan["out"], f"--unknown={url}")
command(session_id, "--output", plan["out"], "--wait", url)
for each in plan["troubled"]:
    attempt(operators.import_session, session_id=each)
for key in plan["keys"]:
    preferences.api_key = key
    attempt(operators.import_session, session_id=session_id)
    command(session_id, "--output", plan["out"], "--force")
preferences.api_key = plan["key"]
os.environ["CSM_API_KEY"] = plan["key"]  # it comes first
attempt(operators.import_session, session_id=plan["by_variable"])
command(plan["by_variable"], "--output", plan["out"])
del os.environ["CSM_API_KEY"]


def burst(*values, **_):
    raise RuntimeError(f"{values} {url} {plan['key']}")


downloads.download = burst
attempt(operators.import_session, session_id=plan["fresh"])
converter._Process.ask = burst
attempt(operators.import_folder, directory=plan["other_folder"])
bpy.ops.wm.save_as_mainfile(filepath=plan["out"] + "/end.blend", compress=False)
print("CHILDREN", *children)
print("OUTCOMES", json.dumps(outcomes))
lifecycle.uninstall()
"""


def test_no_secret_is_found_anywhere(
    run_blender: RunBlender,
    archive: Path,
    service: StandIn,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given, out = tmp_path / "given", tmp_path / "out"
    given.mkdir()
    out.mkdir()
    (given / ".netrc").write_text("machine 127.0.0.1 login artist password CANARY-NETRC\n")
    (given / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(given))
    monkeypatch.setenv("NETRC", str(given / ".netrc"))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://proxy-user:CANARY-PROXY@127.0.0.1:9")
    monkeypatch.setenv("CURL_CA_BUNDLE", "")
    monkeypatch.delenv("CSM_API_KEY")
    monkeypatch.setenv("TMPDIR", str(out))

    session_id = _add(service)
    link = f"https://files.example/inference-outputs/{ACCOUNT}"
    url = f"{link}/{session_id}/mesh.glb?sv=1&sig=CANARY%3D"
    (given / "list.txt").write_text(f"{url}\n{link}/x.glb?sig=CANARY%3D\n")
    troubled = {
        "expired": ("retopo_mesh_0.obj", Fault("expired")),
        "cut": ("retopo_mesh_0.obj", Fault("truncate")),
        "page": ("", Fault("html_200")),
        "not_json": ("", Fault("not_json")),
        "refused": ("", Fault("status", status=403)),
        "elsewhere": ("", Fault("redirect", location=f"{link}?sig=CANARY")),
    }
    ids = []
    for pattern, fault in troubled.values():
        ids.append(_add(service))
        service.add_fault(f"*{ids[-1]}{'/' if pattern else ''}{pattern}", fault, times=None)
    ids.append(_add(service, status="failed", status_message=f"{service.key}: no {url}"))
    plan = {
        "id": session_id,
        "url": url,
        "url_without_id": f"{link}/mesh.glb?sv=1&sig=CANARY%3D",
        "key": service.key,
        "keys": [FORBIDDEN_KEY, "CANARY\nKEY", "\u201cCANARY\u201d", "CANARY-UNKNOWN"],
        "folder": str(sessions.new_folder(given / "folder", 1)),
        "other_folder": str(sessions.new_folder(given / "other", 1)),
        "list": str(given / "list.txt"),
        "out": str(out),
        "troubled": ids,
        "fresh": _add(service),
        "by_variable": _add(service),
    }
    (given / "plan.json").write_text(json.dumps(plan))
    printed = run_blender(_EVERY_WAY, archive, given / "plan.json", timeout_s=240)

    outcomes = json.loads(printed.partition("OUTCOMES ")[2].splitlines()[0])
    assert outcomes.count("{'FINISHED'}") >= 10, outcomes
    assert outcomes.count("failed") >= 10, outcomes
    texts = {"what was printed": printed.encode()}
    for path in (each for each in tmp_path.rglob("*") if each.is_file()):
        if given not in path.parents:
            texts[str(path.relative_to(tmp_path))] = _unpacked(path.read_bytes())
    for name in ("userpref.blend", "all.blend", "session.blend", "report.html", "table.csv"):
        assert [each for each in texts if each.endswith(name)], name
    for name, data in texts.items():
        if name.endswith("userpref.blend"):
            assert service.key.encode() in data  # where the user has typed it
            data = data.replace(service.key.encode(), b"")
        for secret in ("CANARY", ACCOUNT, "artist%40", "files.example", service.files_url):
            assert secret.encode() not in data, (secret, name, _around(data, secret.encode()))
    for request in service.requests:
        assert "authorization" not in request.headers
        assert "proxy-authorization" not in request.headers
        if request.server == "files":
            assert b"CANARY-KEY" not in request.raw


def _add(service: StandIn, **changes: Any) -> str:
    document = sessions.document(sessions.new_id(), 1, **changes)
    document["input"]["mesh"]["_id"] = f"ASSET_{document['_id']}"
    return service.add_session(document=document, files=sessions.files(1))


def _unpacked(data: bytes) -> bytes:
    if data.startswith(b"\x28\xb5\x2f\xfd"):
        return zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read()
    if data.startswith(b"\x1f\x8b"):
        return gzip.decompress(data)
    return data


def _around(data: bytes, secret: bytes) -> bytes:
    place = data.find(secret)
    return data[max(place - 200, 0) : place + 100]


HOSTILE = [
    "../../x",
    "..\\..\\x",
    "C:\\Windows\\x",
    "CON",
    "a\0b",
    "a\nb\r\nc\td",
    "\u202egnp.exe\u202c",
    "\u2066x\u2069\u200b\u200d\ufeff",
    "\ud800 alone \udfff",
    "\x1b[31mred\x07",
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\u3164\u3164",
    "\u0301" * 100,
    "x" * 1000,
    "漢字" * 200,
    "👩‍🚀" * 100,
    "a" * 62 + "é",
    "<img src=x onerror=alert(1)>",
    "https://files.example/artist@example.com/a.obj?sig=CANARY",
    "%s %n {0} %(name)s",
    "",
]


def test_hostile_names_are_cleaned_everywhere(service: StandIn, tmp_path: Path) -> None:
    document = sessions.document(sessions.new_id(), len(HOSTILE))
    for mesh, name in zip(document["output"]["meshes"], HOSTILE, strict=True):
        mesh["name"] = name
    document["input"]["mesh"]["name"] = HOSTILE[7]
    document["input"]["model"] = HOSTILE[6]
    document["created_at"] = HOSTILE[5]
    session_id = service.add_session(document=document, files=sessions.files(len(HOSTILE)))
    bpy.ops.csm_retopo.import_session(session_id=session_id)
    assert len(objects("VARIATION", session_id)) == len(HOSTILE)

    shown = [bpy.context.window_manager.csm_retopo.message]
    for block in (*bpy.data.objects, *bpy.data.meshes, *bpy.data.images, *bpy.data.collections):
        shown.append(block.name)
        assert len(block.name.encode()) <= (63 if bpy.app.version < (5, 0) else 255)
        assert block.name.strip()
    shown += [line for each in objects("LABEL") for line in each.data.body.splitlines()]
    for found in recents.find():
        shown += [found.model, found.created_at]
    table = tmp_path / "table.csv"
    bpy.ops.csm_retopo.export_table(filepath=str(table))
    for line in table.read_text(encoding="utf-8").splitlines():
        shown.append(line)
        for cell in line.split(","):
            assert not cell.strip('"').startswith(("=", "+", "@", "\t")), line
    for text in shown:
        bad = {c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
        assert not bad, (text, bad)
        assert "CANARY" not in text
    assert [each.name for each in tmp_path.iterdir()] == ["table.csv"]
