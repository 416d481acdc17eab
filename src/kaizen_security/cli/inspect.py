"""``kaizen inspect``: the verdict on one action, from the sidecar or from a policy file."""

from __future__ import annotations

import argparse
import json
import sys

from kaizen_security.cli.terminal.paint import json_text, told, wants_colour
from kaizen_security.cli.terminal.verdict import contributions, shown
from kaizen_security.client.attach import Attachment
from kaizen_security.client.clock import Ids, now
from kaizen_security.client.config import Settings, default_sidecar, load
from kaizen_security.client.fields import action_of, completed, declaration_of, policies_of
from kaizen_security.client.rules import Sequence, local_rules
from kaizen_security.contract.action import KINDS, Action, Json
from kaizen_security.contract.codec import encode_verdict
from kaizen_security.contract.errors import InvalidInput, Misconfigured, Refused, Unreachable
from kaizen_security.contract.fields import parse
from kaizen_security.contract.verdict import Mode, Verdict


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--agent", help="who acts (KAIZEN_AGENT, else default)")
    parser.add_argument("--tool", default="", help="the tool that it calls")
    parser.add_argument("--target", default="", help="what it is done to: host, host:port, URL, path")
    parser.add_argument("--kind", default="", help=f"{', '.join(KINDS)}, or another word (tool_call)")
    parser.add_argument("--publisher", default="", help="who published the tool or skill")
    parser.add_argument("--hash", default="", help="digest of the tool or skill")
    parser.add_argument(
        "--arg",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="an argument of the call, several times; VALUE is JSON where it can be read as such, else text",
    )
    parser.add_argument("--sensitive", action="store_true", help="it reads sensitive data")
    parser.add_argument("--source", default="", help="who saw it (sdk)")
    parser.add_argument(
        "--sidecar", help="address of the sidecar (KAIZEN_SIDECAR, else its socket in the data directory)"
    )
    parser.add_argument(
        "--policy", metavar="FILE", help='judge here, against this file: a JSON list of policies, or {"policies": […]}'
    )
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.epilog = "Exit status: 0 allowed, 1 blocked, 2 used wrongly, 3 nobody answered."


def run(args: argparse.Namespace) -> int:
    """0 allowed, 1 blocked, 2 used wrongly, 3 nobody answered."""
    try:
        action = _action(args)
        settings = load({"agent": args.agent, "sidecar": args.sidecar})
        verdict, judge = _here(args.policy, action) if args.policy else _asked(settings, action)
    except Misconfigured as err:
        print(f"kaizen inspect: {told(err)}", file=sys.stderr)
        return 2
    except (Unreachable, Refused) as err:
        print(f"kaizen inspect: {told(err)}", file=sys.stderr)
        return 3
    if args.json:
        print(json_text({**encode_verdict(verdict), "judged_by": judge}))
    else:
        print(shown(verdict, colour=wants_colour(sys.stdout)))
        if verdict.score is not None:
            print("\n".join(contributions(verdict.score, colour=wants_colour(sys.stdout))))
        print(f"judged by {judge}")
    return 1 if verdict.blocked else 0


def _action(args: argparse.Namespace) -> Action:
    arguments: dict[str, Json] = {}
    for place, said in enumerate(args.arg, 1):
        name, equals, value = said.partition("=")
        if not equals or not name:
            # What stands there may be the value alone, and that is nobody's to read.
            raise Misconfigured(f"--arg, number {place} of {len(args.arg)}, must be KEY=VALUE")
        arguments[name] = _value(value)
    fields = {name: getattr(args, name) for name in ("kind", "tool", "target", "publisher", "hash", "source")}
    stated: dict[str, object] = {name: value for name, value in fields.items() if value}
    if not stated:
        raise Misconfigured("nothing to judge: give at least one of --tool, --target, --kind, --publisher, --hash")
    if arguments:
        stated["arguments"] = arguments
    if args.sensitive:
        stated["sensitive"] = True
    return action_of(None, stated)


def _value(text: str) -> Json:
    try:
        value: Json = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value


def _here(path: str, action: Action) -> tuple[Verdict, str]:
    try:
        with open(path, "rb") as file:
            document = parse(file.read(64 << 20), limit=64 << 20)
    except OSError as err:
        raise Misconfigured(f"cannot read {path}: {err.strerror}") from err
    except InvalidInput as err:
        raise Misconfigured(f"{path}: {err}") from err
    found = document.get("policies") if isinstance(document, dict) else document
    if not isinstance(found, list):
        raise Misconfigured(f'{path} must hold a JSON list of policies, or {{"policies": […]}}')
    rules = local_rules(policies_of(found), declaration_of(None, None, None), Mode.OBSERVE)
    return rules.known_bad(action, Sequence()), f"the policy in {path} alone: no declaration, no baseline, no sidecar"


def _asked(settings: Settings, action: Action) -> tuple[Verdict, str]:
    url = settings.sidecar or default_sidecar(settings)
    link = Attachment(load({"agent": settings.agent, "sidecar": url, "report": False, "sync": False}), Ids()).link
    assert link is not None
    full = completed(action, action.metadata, id_=Ids().new(), agent=settings.agent, at=now(), run_id="")
    try:
        return link.ask(full, settings.deadline, patient=True), f"the sidecar at {url}"
    except Unreachable as err:
        raise Unreachable(
            f"{err}\nStart it with `kaizen sidecar` (or `kaizen up`), or say where it is with --sidecar or KAIZEN_SIDECAR, "
            "or judge against a file with --policy FILE."
        ) from err
    finally:
        link.close()
