"""The server by OpenAI's client: a completion with its certificate, a stream, and a JSON answer.

pip install 'fef[serve,grammar]' openai
fef serve --model demo --port 8000
python examples/openai_client.py --url http://127.0.0.1:8000/v1
"""

from __future__ import annotations

import argparse

from openai import OpenAI

QUESTION = "Tom has 12 apples. He buys 3 bags with 6 apples each. How many apples does Tom have now?"
SCHEMA = {"type": "object", "properties": {"apples": {"type": "integer"}}, "required": ["apples"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8000/v1")
    client = OpenAI(base_url=parser.parse_args().url, api_key="none")
    asked = {"model": "demo", "prompt": QUESTION, "max_tokens": 64, "temperature": 0.7, "seed": 1}

    answer = client.completions.create(**asked, extra_body={"fef": {"method": "fef", "options": {"window": 8}}})
    told = (answer.model_extra or {})["fef"]
    print(answer.choices[0].text)
    print("law:", told["certificate"]["law"])
    print("passes:", told["choices"][0]["passes"], "log p:", round(told["choices"][0]["logprob"], 2))

    stream = client.completions.create(**asked, stream=True)
    joined = "".join(part.choices[0].text for part in stream if part.choices)
    print("the stream is the same text:", joined == answer.choices[0].text)

    form = {"type": "json_schema", "json_schema": {"name": "count", "schema": SCHEMA, "strict": True}}
    typed = client.completions.create(**{**asked, "max_tokens": 24}, extra_body={"response_format": form})
    print("an answer in the form asked for, by a model that never saw JSON:", typed.choices[0].text)


if __name__ == "__main__":
    main()
