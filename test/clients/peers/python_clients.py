#!/usr/bin/env python3
"""The Python clients `openai` and `llm`, as they are installed, against `arctic serve`.

    python3 test/clients/peers/python_clients.py [--arctic COMMAND]

COMMAND starts arctic (default: the launcher of this checkout). Needs the packages openai and pydantic;
without the program `llm` its tests are skipped. Exit 1 where a test fails.
"""

import asyncio
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import openai
from pydantic import BaseModel, Field

MODEL = "arctic-tiny-sql"
KEY = "the-key"
LAUNCHER = Path(__file__).resolve().parents[3] / "arctic"
CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "How many orders are there?"}]}
# Goes on until somebody ends it.
ENDLESS = CHAT | {"max_tokens": -1, "extra_body": {"ignore_eos": True}}


class Digits(BaseModel):
    a: int = Field(ge=0, le=9)
    b: int = Field(ge=0, le=9)


class Served(unittest.TestCase):
    """Tests of one server, which is there while they run."""

    flags: list[str] = []

    @classmethod
    def setUpClass(cls) -> None:
        command = [*shlex.split(ARCTIC), "serve", "--backend=cpu", "--port=0", *cls.flags]
        environment = os.environ | {"ARCTIC_API_KEY": KEY}
        # Its log would fill the pipe, and what fills it would wait for a reader.
        command.append("--log-level=error")
        cls.server = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        cls.addClassCleanup(cls.end)
        for line in cls.server.stderr:
            if found := re.search(r" on (http://\S+/v1) \(", line):
                cls.url = found[1]
                break
        cls.client = openai.OpenAI(base_url=cls.url, api_key=KEY, max_retries=0)
        cls.said = cls.client.chat.completions.create(**CHAT).choices[0].message.content

    @classmethod
    def end(cls) -> None:
        cls.server.kill()
        cls.server.communicate()


class OpenAI(Served):
    fields = ("data: ", ": ")

    def test_chat(self) -> None:
        answer = self.client.chat.completions.with_raw_response.create(**CHAT)
        self.assertRegex(answer.headers["x-request-id"], "^req_")
        parsed = answer.parse()
        self.assertEqual(parsed.choices[0].message.content, self.said)
        self.assertEqual(parsed.choices[0].finish_reason, "stop")
        self.assertIsNone(parsed.choices[0].message.tool_calls)
        usage = parsed.usage
        self.assertEqual(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens)
        self.assertGreater(usage.prompt_tokens_details.cached_tokens, 0)

    def test_chat_stream(self) -> None:
        chunks = list(
            self.client.chat.completions.create(
                **CHAT, stream=True, stream_options={"include_usage": True}
            )
        )
        self.assertEqual(len({chunk.id for chunk in chunks}), 1)
        deltas = [chunk.choices[0] for chunk in chunks[:-1]]
        self.assertEqual(deltas[0].delta.role, "assistant")
        self.assertEqual("".join(each.delta.content or "" for each in deltas), self.said)
        ends = [each.finish_reason for each in deltas if each.finish_reason]
        self.assertEqual(ends, ["stop"])
        self.assertEqual(chunks[-1].choices, [])
        self.assertGreater(chunks[-1].usage.completion_tokens, 1)

    def test_stream_helper(self) -> None:
        with self.client.chat.completions.stream(**CHAT, logprobs=True, top_logprobs=2) as stream:
            kinds = {event.type for event in stream}
            choice = stream.get_final_completion().choices[0]
        self.assertLessEqual({"chunk", "content.delta", "content.done"}, kinds)
        self.assertEqual(choice.message.content, self.said)
        self.assertEqual("".join(each.token for each in choice.logprobs.content), self.said)
        self.assertTrue(all(len(each.top_logprobs) == 2 for each in choice.logprobs.content))

    def test_streaming_response(self) -> None:
        create = self.client.chat.completions.with_streaming_response.create
        with create(**CHAT, stream=True) as response:
            self.assertEqual(response.headers["content-type"].split(";")[0], "text/event-stream")
            lines = [line for line in response.iter_lines() if line]
        self.assertEqual(lines[-1], "data: [DONE]")
        self.assertEqual([line for line in lines if not line.startswith(self.fields)], [])

    def test_choices(self) -> None:
        answer = self.client.chat.completions.create(**CHAT, n=3, seed=7, temperature=1.5)
        self.assertEqual([choice.index for choice in answer.choices], [0, 1, 2])

    def test_parse(self) -> None:
        answer = self.client.chat.completions.parse(**CHAT, response_format=Digits)
        self.assertIsInstance(answer.choices[0].message.parsed, Digits)
        with self.assertRaises(openai.LengthFinishReasonError):
            self.client.chat.completions.parse(**CHAT, response_format=Digits, max_tokens=2)

    def test_tools(self) -> None:
        tools = [openai.pydantic_function_tool(Digits, name="add")]
        asked = CHAT | {"tools": tools, "tool_choice": "required"}
        message = self.client.chat.completions.parse(**asked).choices[0].message
        (call,) = message.tool_calls
        self.assertIsInstance(call.function.parsed_arguments, Digits)
        # Without the model of the arguments: Debian's package fails at parsing a part of them.
        plain = {"name": "add", "parameters": Digits.model_json_schema()}
        asked |= {"tools": [{"type": "function", "function": plain}]}
        with self.client.chat.completions.stream(**asked) as stream:
            kinds = {event.type for event in stream}
            streamed = stream.get_final_completion().choices[0]
        self.assertIn("tool_calls.function.arguments.done", kinds)
        self.assertEqual(streamed.finish_reason, "tool_calls")
        Digits.model_validate_json(streamed.message.tool_calls[0].function.arguments)
        # The call goes back as the client gave it, with its result.
        result = {"role": "tool", "tool_call_id": call.id, "content": "5"}
        turns = [*CHAT["messages"], message, result]
        answer = self.client.chat.completions.create(model=MODEL, messages=turns, max_tokens=4)
        self.assertEqual(answer.choices[0].message.role, "assistant")

    def test_completions(self) -> None:
        asked = {"model": MODEL, "prompt": ["SELECT", "SELECT COUNT"], "max_tokens": 5}
        answer = self.client.completions.create(**asked, temperature=0, logprobs=2, echo=True)
        self.assertEqual([choice.index for choice in answer.choices], [0, 1])
        for choice, prompt in zip(answer.choices, asked["prompt"]):
            self.assertTrue(choice.text.startswith(prompt))
            self.assertEqual("".join(choice.logprobs.tokens), choice.text)
            self.assertIsNone(choice.logprobs.token_logprobs[0])
        texts = ["", ""]
        for chunk in self.client.completions.create(**asked, temperature=0, stream=True):
            for choice in chunk.choices:
                texts[choice.index] += choice.text
        whole = [choice.text for choice in answer.choices]
        self.assertEqual([a + b for a, b in zip(asked["prompt"], texts)], whole)

    def test_models(self) -> None:
        self.assertEqual([model.id for model in self.client.models.list()], [MODEL])
        self.assertEqual(self.client.models.retrieve(MODEL).object, "model")

    def test_errors(self) -> None:
        def fails(kind: type[openai.APIStatusError], **fields: object) -> openai.APIStatusError:
            with self.assertRaises(kind) as caught:
                self.client.chat.completions.create(**(CHAT | fields))
            return caught.exception

        self.assertEqual(fails(openai.BadRequestError, temperature=-1).param, "temperature")
        long = [{"role": "user", "content": "orders " * 6_000}]
        for stream in (False, True):
            error = fails(openai.BadRequestError, messages=long, stream=stream)
            self.assertEqual((error.code, error.param), ("context_length_exceeded", "messages"))
        self.assertEqual(fails(openai.NotFoundError, model="gpt-4o").code, "model_not_found")
        with self.assertRaises(openai.AuthenticationError) as caught:
            self.client.with_options(api_key="wrong").models.list()
        self.assertEqual(caught.exception.code, "invalid_api_key")
        with self.assertRaises(openai.NotFoundError):
            self.client.embeddings.create(model=MODEL, input="a")
        with self.assertRaises(openai.APITimeoutError):
            self.client.with_options(timeout=0.3).chat.completions.create(**ENDLESS)

    def test_async(self) -> None:
        async def ask() -> list[str]:
            async with openai.AsyncOpenAI(base_url=self.url, api_key=KEY, max_retries=0) as client:
                stream = await client.chat.completions.create(**ENDLESS, stream=True)
                async for chunk in stream:
                    if chunk.choices[0].delta.content:
                        break
                await stream.close()
                asked = [client.chat.completions.create(**CHAT) for _ in range(8)]
                answers = await asyncio.gather(*asked)
            return [answer.choices[0].message.content for answer in answers]

        self.assertEqual(asyncio.run(ask()), [self.said] * 8)


class OpenAIResumable(OpenAI):
    """Events with ids, between which comments may come."""

    flags = ["--resume-seconds=5"]
    fields = ("data: ", ": ", "id: ")


@unittest.skipUnless(shutil.which("llm"), "llm is not installed")
class Llm(Served):
    def llm(self, *arguments: str) -> str:
        entry = {"model_id": "arctic", "model_name": MODEL, "api_base": self.url, "api_key_name": "arctic"}
        entry |= {"supports_schema": True, "supports_tools": True, "can_stream": True}
        with tempfile.TemporaryDirectory() as folder:
            # YAML reads JSON.
            Path(folder, "extra-openai-models.yaml").write_text(json.dumps([entry]))
            command = ["llm", "prompt", "-m", "arctic", "--key", KEY, *arguments]
            environment = os.environ | {"LLM_USER_PATH": folder}
            run = subprocess.run(
                command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
            )
        self.assertEqual(run.returncode, 0, run.stderr)
        return run.stdout.rstrip("\n")

    def test_prompt(self) -> None:
        question = CHAT["messages"][0]["content"]
        self.assertEqual(self.llm(question), self.said)
        self.assertEqual(self.llm("--no-stream", "-o", "max_tokens", "64", question), self.said)

    def test_schema(self) -> None:
        Digits.model_validate_json(self.llm("--schema", json.dumps(Digits.model_json_schema()), "?"))

    def test_tool(self) -> None:
        said = self.llm("-T", "llm_version", CHAT["messages"][0]["content"])
        self.assertNotEqual(said, "")


if __name__ == "__main__":
    ARCTIC = shlex.quote(str(LAUNCHER))
    if sys.argv[1:2] == ["--arctic"]:
        ARCTIC = sys.argv[2]
        del sys.argv[1:3]
    unittest.main()
