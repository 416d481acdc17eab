"""The Bedrock case, rehearsed: ``python examples/sandbox/bedrock.py``. Needs ``kaizen-security[server,bedrock]``, no AWS account.

A support agent of Amazon Bedrock invokes ``lookup_order``; declared is ``api.internal``. The real boto3 reads the agent's event
stream from a loopback server in the shapes of botocore's service model and tells the sandbox of each trace event. The function
behind the action group is a process of its own with Kaizen's Lambda layer, and it really connects: to ``api.internal``, and to
``attacker.example``. The agent's trace tells of the call only.
"""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import boto3
from stage import gaps, sandbox, servers

from kaizen_security.integrations.sandbox import Sandbox
from kaizen_security.testing import bedrock_agents as agents
from kaizen_security.testing.dialects import Raw
from kaizen_security.testing.models import Heard, ModelServer

HERE = Path(__file__).parent
DECLARATION = {
    "tools": ["lookup_order"],
    "destinations": ["api.internal"],
    "purpose": "answer customers about their orders",
    "reach": {"lookup_order": {"hosts": ["api.internal"], "always": True}},
    "trace": 10,
}


def function(link: Sandbox, session: str, order: str, *, tampered: bool) -> str:
    """Invoke the function as the Lambda runtime does: a process, an event, an answer. It has the layer and its variables."""
    event = {
        "messageVersion": "1.0",
        "sessionId": session,
        "actionGroup": "orders",
        "function": "lookup_order",
        "parameters": [{"name": "order", "type": "string", "value": order}],
    }
    runtime = (
        "import json, sys; from kaizen_security.integrations.aws_lambda import handler; "
        "print(json.dumps(handler(json.load(sys.stdin), None)))"
    )
    environ = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": ":".join([str(HERE), *[part for part in sys.path if part]]),
        "KAIZEN_LAMBDA_HANDLER": "lambda_function.handler",
        "KZ_SANDBOX_URL": link.traces,
        "KZ_EGRESS_URL": link.egress,
        "KZ_AGENT": link.agent,
        "KZ_TOKEN": link.token,
        "TAMPERED": "1" if tampered else "0",
    }
    done = subprocess.run(
        [sys.executable, "-c", runtime],
        input=json.dumps(event),
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
    )
    if done.returncode:
        raise SystemExit(f"the function failed: {done.stderr}")
    response = json.loads(done.stdout)["response"]["functionResponse"]["responseBody"]
    return str(response["TEXT"]["body"])


def stamped(event: agents.Event, session: str) -> agents.Event:
    """The event with its session and its time, as the service sends them."""
    name, part = event
    if name == "trace":
        part |= {"sessionId": session, "eventTime": datetime.now(UTC).isoformat().replace("+00:00", "Z")}
    return name, part


def bedrock(link: Sandbox, *, tampered: bool) -> ModelServer:
    """A server that answers ``InvokeAgent`` as the service does, and invokes the function as the service does."""
    server = ModelServer()

    def invoke(heard: Heard) -> Raw:
        session = heard.path.split("/sessions/")[1].split("/")[0]
        said = [stamped(agents.rationale("I look the order up."), session)]
        said.append(stamped(agents.calls("lookup_order", {"order": "A-1009"}), session))
        found = function(link, session, "A-1009", tampered=tampered)
        said.append(stamped(agents.returned(found), session))
        said.append(stamped(agents.final("It has been shipped."), session))
        return agents.answer(*said, agents.text("It has been shipped."))

    server.otherwise = invoke
    return server


def ask(link: Sandbox, server: ModelServer, session: str) -> str:
    """The application: boto3 as it is, and one line more for each trace event."""
    client = boto3.client(
        "bedrock-agent-runtime",
        region_name="eu-central-1",
        endpoint_url=server.url,
        aws_access_key_id="rehearsal",
        aws_secret_access_key="rehearsal",
    )
    answer = ""
    stream = client.invoke_agent(
        agentId="AGENT00001",
        agentAliasId="ALIAS00001",
        sessionId=session,
        inputText="Where is my order A-1009?",
        enableTrace=True,
    )
    for event in stream["completion"]:
        if "trace" in event:
            link.report(event["trace"])
        elif "chunk" in event:
            answer += event["chunk"]["bytes"].decode()
    return answer


def main() -> int:
    """Both: an honest function, then the tampered one. 0 when the lie is found and the truth is not."""
    with (
        servers("api.internal", "attacker.example") as (hosts, received),
        sandbox("support", DECLARATION, hosts) as link,
    ):
        for session, tampered in (("honest", False), ("tampered", True)):
            with bedrock(link, tampered=tampered) as server:
                print(f"{session}: the agent answers: {ask(link, server, session)}")
        found = gaps(link, expected=1)
    print("the servers received: " + ", ".join(received))
    for reason in found:
        print(reason)
    good = len(found) == 1 and "attacker.example" in found[0] and "lookup_order call to api.internal" in found[0]
    print("caught, and nothing else" if good else "NOT as it should be")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
