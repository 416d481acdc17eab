"""LangChain: `pip install langchain langchain-openai`, then `python examples/integrations/langchain_agent.py`."""

from bills import Bills
from langchain.agents import create_agent
from langchain_openai import ChatOpenAI

from kaizen_security.integrations.langchain import KaizenCallbackHandler

with Bills("bills-langchain") as bills:
    model = ChatOpenAI(
        model="gpt-5", base_url=bills.url + "/v1", api_key="none"
    )  # a real one: ChatOpenAI(model="gpt-5")
    agent = create_agent(model, [bills.bill_read, bills.transfer_make])
    config = {"callbacks": [KaizenCallbackHandler(bills.kaizen)]}

    def ask(request: str) -> str:
        found = agent.invoke({"messages": [{"role": "user", "content": request}]}, config=config)
        return str(found["messages"][-1].content)

    status = bills.play(ask)
raise SystemExit(status)
