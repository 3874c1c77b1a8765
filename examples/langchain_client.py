"""The server as a language model of LangChain: one prompt, several at once, and a stream.

    pip install 'fef[serve]' langchain-openai
    fef serve --model demo --port 8000
    python examples/langchain_client.py --url http://127.0.0.1:8000/v1

`demo` takes text; for a model that holds conversations, such as `smol`, `ChatOpenAI` takes the same arguments.
"""

from __future__ import annotations

import argparse

from langchain_core.prompts import PromptTemplate
from langchain_openai import OpenAI


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8000/v1")
    model = OpenAI(base_url=parser.parse_args().url, api_key="none", model="demo", max_tokens=64, temperature=0, seed=1)
    template = PromptTemplate.from_template(
        "{name} has {count} apples. {name} buys 3 bags with 6 apples each. How many now?"
    )
    chain = template | model
    print(chain.invoke({"name": "Tom", "count": 12}))
    for text in chain.batch([{"name": "Ben", "count": 7}, {"name": "Kate", "count": 20}]):
        print(text)
    print("".join(chain.stream({"name": "Tom", "count": 12})))


if __name__ == "__main__":
    main()
