"""LangGraph: `pip install langgraph langchain-openai`, then `python examples/integrations/langgraph_graph.py`."""

from typing import Any

from bills import Bills
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

from kaizen_security.integrations import langchain

with Bills("bills-langgraph") as bills:
    langchain.attach(bills.kaizen)
    tools = [tool(bills.bill_read), tool(bills.transfer_make)]
    model = ChatOpenAI(
        model="gpt-5", base_url=bills.url + "/v1", api_key="none"
    )  # a real one: ChatOpenAI(model="gpt-5")
    bound = model.bind_tools(tools)

    def think(state: MessagesState) -> dict[str, Any]:
        return {"messages": [bound.invoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("think", think)
    graph.add_node("tools", ToolNode(tools))
    graph.add_edge(START, "think")
    graph.add_conditional_edges("think", tools_condition)
    graph.add_edge("tools", "think")
    agent = graph.compile()

    def ask(request: str) -> str:
        return str(agent.invoke({"messages": [{"role": "user", "content": request}]})["messages"][-1].content)

    status = bills.play(ask)
raise SystemExit(status)
