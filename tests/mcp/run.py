"""The official client of the Model Context Protocol against a running node: run.py URL

The node has three documents; `1` is a red shoe of acme.
"""

import asyncio
import json
import sys

from mcp import ClientSession

try:
    from mcp.client.streamable_http import streamable_http_client as connect
except ImportError:  # Before 1.24.
    from mcp.client.streamable_http import streamablehttp_client as connect


def both(result):
    """What a tool has given, as structure; the text says the same."""
    data = result.model_dump(by_alias=True)
    structured = data["structuredContent"]
    assert json.loads(data["content"][0]["text"]) == structured, data
    return data["isError"], structured


async def main(url):
    async with connect(url) as (read, write, *_), ClientSession(read, write) as session:
        hello = (await session.initialize()).model_dump(by_alias=True)
        assert hello["serverInfo"]["name"] == "millpond", hello
        assert hello["protocolVersion"] >= "2025-06-18", hello
        assert "price (f64)" in hello["instructions"], hello

        tools = (await session.list_tools()).model_dump(by_alias=True)["tools"]
        names = [tool["name"] for tool in tools]
        assert names == ["search", "get", "stats"], names
        assert all(tool["annotations"]["readOnlyHint"] for tool in tools), tools

        search = {"query": "red shoe", "mode": "keyword", "filter": "owner = 'acme'", "limit": 1}
        failed, found = both(await session.call_tool("search", search))
        assert not failed and [hit["key"] for hit in found["hits"]] == ["1"], found
        failed, got = both(await session.call_tool("get", {"key": "1"}))
        assert not failed and got["document"]["name"] == "red shoe", got
        failed, stats = both(await session.call_tool("stats", {}))
        assert not failed and stats["documents"] == 3, stats

        failed, error = both(await session.call_tool("search", {"query": "shoe", "filter": "colour = 'red'"}))
        assert failed and "price" in error["error"]["hint"], error
        try:
            await session.call_tool("drop", {})
        except Exception as error:
            assert "drop" in str(error), error
        else:
            raise AssertionError("a tool that is not there was called")
        print(len(tools), "tools in revision", hello["protocolVersion"])


asyncio.run(main(sys.argv[1]))
