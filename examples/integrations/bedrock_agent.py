"""Amazon Bedrock agents: `pip install boto3`, then `python examples/integrations/bedrock_agent.py`."""

import boto3
from bills import Bills

from kaizen_security.integrations.bedrock import KaizenBedrockAgent

with Bills("bills-bedrock") as bills:
    client = boto3.client(
        "bedrock-agent-runtime",
        region_name="eu-central-1",
        endpoint_url=bills.url,  # a real one: without this line and the next one
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="none",
    )
    tools = {"bill_read": bills.bill_read, "transfer_make": bills.transfer_make}
    agent = KaizenBedrockAgent(bills.kaizen, client, agent_id="AGENT00001", alias_id="ALIAS00001", tools=tools)
    status = bills.play(agent.run)
raise SystemExit(status)
