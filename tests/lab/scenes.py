"""The scenes of the demonstration, each one step of the story."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tests.lab.lab import APPLICATION_NAMES, Lab, prepare
from tests.lab.machines import Answer, Download, addressing, widened
from tests.lab.network import APP_PREFIXES, APPS, PAYROLL, WIKI, AppHost
from tests.lab.processes import LabError, wait_until
from tests.lab.story import Story
from tests.lab.visitor import Enrolled

BODY_BYTES: Final = 250_000
FAMILIES: Final = (4, 6)
GRANTED: Final = {"alice": WIKI, "bob": PAYROLL}
EVIDENCE_HEADS: Final = (
    *("began", "person", "device", "key", "verdict", "application"),
    *("grant", "to", "up", "down", "end"),
)
REVOCATION: Final = re.compile(r"/manage/revocations/(\d+)/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One request of one person to one application, and what came back."""

    person: str
    app: AppHost
    source: str
    answer: Answer


def tell(story: Story, made: Lab) -> None:
    """Tell everything after the lab stands."""
    with story.step("Dave, an administrator, describes the gateway and both servers"):
        prepare(made)
        story.check(that="the gateway enrolled, verified and is open", holds=True)
    grant(story, made)
    devices = {person: enroll(story, made, person) for person in GRANTED}
    visits: list[Visit] = []
    for person, device in devices.items():
        visits += browse(story, made, person, device)
    evidence(story, made, visits)
    revoke(story, made)
    aftermath(story, made)
    show_evidence(story, made)


def introduce(story: Story, made: Lab) -> None:
    """Say who is where."""
    for app in APPS:
        name = APPLICATION_NAMES[app.name]
        story.note(f"{name:8} {app.address4} and {app.address6}, behind the gateway")
    story.note(f"portal   {made.portal.url}, identity provider {made.portal.issuer}")


def grant(story: Story, made: Lab) -> None:
    """Let alice and bob sign in, and dave grant them something."""
    with story.step("Alice and Bob sign in; Dave grants each one application"):
        for person in GRANTED:
            made.visitor(person)
        story.check(that="signed in through the identity provider", holds=True)
        dave = made.visitor("dave")
        made.grant(dave, GRANTED["alice"], group="engineering")
        made.grant(dave, GRANTED["bob"], person="Bob Baker")
        story.note("Wiki to the group engineering, Payroll to Bob; nothing else")


def enroll(story: Story, made: Lab, person: str) -> Enrolled:
    """Let somebody enrol a laptop and bring the tunnel up."""
    with story.step(f"{person.capitalize()} enrols a laptop"):
        visitor = made.visitor(person)
        device = visitor.enroll(f"{person}-laptop")
        private = device.config.split("PrivateKey = ")[1].splitlines()[0]
        issued = visitor.call("GET", f"/api/v1/devices/{_number(device.id)}/config/")
        story.check(
            that="the key was made here; what the portal hands out has no private key",
            holds="PrivateKey" not in issued.text and private not in issued.text,
        )
        story.note(f"addresses {', '.join(device.addresses)}")
        story.note(f"its file routes {', '.join(addressing(device.config)[1])}")
        story.note("edited by hand, it now routes both servers; the gateway decides")
        made.machines[person].connect(widened(device.config, *APP_PREFIXES))
    return device


def browse(story: Story, made: Lab, person: str, device: Enrolled) -> list[Visit]:
    """Somebody opens both applications over both families."""
    granted = GRANTED[person]
    (other,) = (app for app in APPS if app is not granted)
    visits = []
    name, other_name = APPLICATION_NAMES[granted.name], APPLICATION_NAMES[other.name]
    with story.step(f"{person.capitalize()} opens {name}, granted, and {other_name}"):
        for version in FAMILIES:
            answer = made.machines[person].get(url(granted, version, BODY_BYTES))
            story.check(
                that=f"{name} over IPv{version}: 200, {BODY_BYTES} bytes in"
                f" {answer.seconds * 1000:.0f} ms",
                holds=answer.status == 200 and answer.size == BODY_BYTES,
                but=f"status {answer.status}, {answer.size} bytes",
            )
            visits.append(_visit(person, granted, device, version, answer))
        for version in FAMILIES:
            answer = made.machines[person].get(url(other, version), seconds=1.5)
            story.check(
                that=f"{other_name} over IPv{version}: no answer",
                holds=answer.status == 0,
                but=f"status {answer.status}",
            )
            visits.append(_visit(person, other, device, version, answer))
    return visits


def evidence(story: Story, made: Lab, visits: list[Visit]) -> None:
    """Carol, an auditor, finds every visit under the right person."""
    with story.step("Carol, an auditor, looks for what they did"):
        carol = made.visitor("carol")
        allowed = [visit for visit in visits if visit.answer.status]
        denied = [visit for visit in visits if not visit.answer.status]
        wait_until(
            lambda: len(_finished(carol.connections(), allowed)) == len(allowed),
            what="the ends of the connections reaching the portal",
            seconds=40,
        )
        found = _by_port(carol.connections())
        for visit in allowed:
            _check_allowed(story, made, visit, found)
        for visit in denied:
            _check_denied(story, visit, carol.connections(verdict="denied"))


def revoke(story: Story, made: Lab) -> None:
    """Dave revokes alice while she and bob download."""
    with story.step("Dave revokes Alice while she downloads; Bob downloads too"):
        alice, bob = (_download(made, person) for person in ("alice", "bob"))
        story.check(
            that="both downloads run",
            holds=alice.is_flowing() and bob.is_flowing(),
        )
        dave = made.visitor("dave")
        path = f"/manage/users/{_user_number(made, 'Alice Archer')}/revoke/"
        token = dave.form_token(path)
        before, clicked = alice.seen(), time.time_ns()
        answer = dave.post(
            path, {"csrfmiddlewaretoken": token, "reason": "laptop reported stolen"}
        )
        answered = time.time_ns()
        time.sleep(2)
        cut, kept = alice.seen(), bob.seen()
        story.check(
            that=f"click to last packet: {(cut.last_ns - clicked) / 1e6:.0f} ms"
            f" (the portal answered Dave after {(answered - clicked) / 1e6:.0f} ms)",
            holds=before.packets < cut.packets and cut.last_ns - clicked < 1e9,
        )
        story.check(
            that="Alice's download is dead",
            holds=not alice.is_flowing(),
        )
        story.check(
            that="Bob's goes on; its longest pause was"
            f" {kept.pause_ns / 1e6:.0f} ms over {kept.packets} packets",
            holds=bob.is_flowing() and kept.pause_ns < 1e9,
        )
        alice.stop()
        bob.stop()
        _enforcement(story, made, answer.headers["location"])
        refused = made.machines["alice"].get(url(WIKI, 4), seconds=1.5)
        story.check(that="Alice's tunnel answers nothing", holds=not refused.status)


def aftermath(story: Story, made: Lab) -> None:
    """Show what a revoked person can still do: nothing."""
    with story.step("Alice tries again"):
        still = made.visitors["alice"].get("/devices/").status_code
        story.check(that="her session has ended", holds=still == 302, but=str(still))
        made.visitors.pop("alice").close()
        try:
            made.visitor("alice")
        except LabError:
            refused = True
        else:
            refused = False
        story.check(that="she cannot sign in again", holds=refused)
        works = made.machines["bob"].get(url(PAYROLL, 4))
        story.check(that="Bob still reaches Payroll", holds=works.status == 200)


def show_evidence(story: Story, made: Lab) -> None:
    """Print what the auditor sees."""
    with story.step("The evidence, as Carol sees it"):
        rows = made.visitor("carol").connections()
        story.table(
            EVIDENCE_HEADS,
            [_evidence_row(row) for row in reversed(rows)],
        )


def url(app: AppHost, version: int, size: int | None = None) -> str:
    """Return the address of an application's page in one family."""
    host = str(app.address4) if version == 4 else f"[{app.address6}]"
    return f"http://{host}/" if size is None else f"http://{host}/bytes/{size}"


def _visit(
    person: str, app: AppHost, device: Enrolled, version: int, answer: Answer
) -> Visit:
    return Visit(person=person, app=app, source=device.address(version), answer=answer)


def _finished(rows: list[dict[str, Any]], visits: list[Visit]) -> list[Visit]:
    found = _by_port(rows)
    return [
        visit
        for visit in visits
        if found.get((visit.source, visit.answer.port), {}).get("ended_at")
    ]


def _by_port(rows: list[dict[str, Any]]) -> dict[tuple[str, int], dict[str, Any]]:
    return {(row["source"], row["source_port"]): row for row in rows}


def _check_allowed(
    story: Story,
    made: Lab,
    visit: Visit,
    found: Mapping[tuple[str, int], dict[str, Any]],
) -> None:
    row = found[visit.source, visit.answer.port]
    counted = made.applications.traffic(visit.app, visit.source, visit.answer.port)
    told = (row["bytes_up"], row["bytes_down"])
    person = row["person_label"].lower()
    story.check(
        that=f"{row['person_label']} reached {row['application_label']} from"
        f" {visit.source}: {told[0]} bytes up and {told[1]} down, as the"
        " application's machine counted",
        holds=told == (counted.bytes_up, counted.bytes_down)
        and person.startswith(visit.person)
        and row["application_label"] == APPLICATION_NAMES[visit.app.name],
        but=f"the machine counted {counted.bytes_up} and {counted.bytes_down}",
    )


def _check_denied(story: Story, visit: Visit, rows: list[dict[str, Any]]) -> None:
    targets = {str(visit.app.address4), str(visit.app.address6)}
    found = [
        row
        for row in rows
        if row["source"] == visit.source and row["destination"] in targets
    ]
    people = {row["person_label"] for row in found}
    story.check(
        that=f"{visit.person.capitalize()} was denied"
        f" {APPLICATION_NAMES[visit.app.name]} from {visit.source}, on record",
        holds=bool(found) and all(p.lower().startswith(visit.person) for p in people),
        but=f"found under {people or 'nobody'}",
    )


def _download(made: Lab, person: str) -> Download:
    app = GRANTED[person]
    return made.machines[person].download(
        f"http://{app.address4}/stream", str(app.address4)
    )


def _enforcement(story: Story, made: Lab, location: str) -> None:
    """Print what each gateway reported about the revocation."""
    found = REVOCATION.search(location)
    if found is None:
        msg = f"revoking led to {location}"
        raise LabError(msg)
    dave = made.visitor("dave")
    path = f"/api/v1/revocations/{found[1]}/"
    wait_until(
        lambda: bool(dave.get(path).json()["is_enforced"]),
        what="every gateway reporting the revocation",
    )
    gateways = dave.get(path).json()["gateways"]
    story.note("What the portal shows, per gateway:")
    story.table(
        ("gateway", "enforced after", "connections cut"),
        [
            (row["name"], f"{row['enforced_after_ms']} ms", row["flows_cut"])
            for row in gateways
        ],
    )
    story.check(
        that="the gateway says that it cut Alice's connection",
        holds=sum(row["flows_cut"] for row in gateways) >= 1,
    )


def _user_number(made: Lab, name: str) -> str:
    return made.choice(made.visitor("dave"), "users", name)


def _number(ref: object) -> str:
    return str(ref).rpartition("_")[2]


def _evidence_row(row: Mapping[str, Any]) -> tuple[object, ...]:
    place = f"{row['destination']}:{row['destination_port']}"
    return (
        row["started_at"][11:19],
        row["person_label"],
        row["device_label"],
        row["key_fingerprint"][:8],
        row["verdict"],
        row["application_label"] or "-",
        row["grant_id"] or "-",
        place,
        "-" if row["bytes_up"] is None else row["bytes_up"],
        "-" if row["bytes_down"] is None else row["bytes_down"],
        row["end_reason"] or "-",
    )
