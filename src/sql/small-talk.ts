/** Prompts that ask for no data, and the short honest answers to them. */

import { noun } from "./names.ts";
import type { Split } from "./names.ts";
import { say } from "./phrase.ts";
import type { Random } from "./random.ts";

export interface SmallTalk {
  readonly prompt: string;
  readonly answer: string;
}

const who =
  "I am arctic-tiny-sql, a very small model with the architecture of Snowflake Arctic. I turn questions about tables into SQL.";
const ability =
  "I write SQLite queries for questions about your tables, such as: How many customers are there?";
const refusal = "I cannot answer that. I only turn questions about tables into SQL.";
const readOnly = "I only write queries that read data. I do not change it.";
const greeting = "Hello! Ask me a question about your tables.";
const thanks = "You are welcome.";

const talks: readonly (readonly [number, string, string])[] = [
  [
    3,
    "[Who are you|What are you|What is your name|Tell me about yourself|Introduce yourself|Are you a robot|Are you an AI|What model are you|Which model is this|What is arctic-tiny-sql|Are you Arctic|Who made you|How big are you|Are you ChatGPT|Are you human|How large is this model]",
    who,
  ],
  [
    3,
    "[What can you do|How can you help me|What can I ask you|Help|help me|What are you good at|How do I use you|What do you do|What is this|Can you help me|What questions can I ask|How does this work|What are your skills]",
    ability,
  ],
  [
    2,
    "[Hello|Hi|Hey|Good morning|Good evening|Hi there|Hello there|Hey there|Good day|How are you|hi|hello]",
    greeting,
  ],
  [
    1,
    "[Thanks|Thank you|Thank you very much|Great, thanks|Thanks a lot|Cool|Good job|Well done|Bye|Goodbye]",
    thanks,
  ],
  [
    6,
    "[Write a poem about {a} {n}|What is the capital of {X}|Tell me a joke|Tell me a joke about {n}|What is the weather like|What is the weather today|Translate {n} into French|Translate {n} to German|Who is the president of {X}|What is {a} {n}|Explain what {a} {n} is|How do I cook {a} {n}|Write a story about {a} {n}|What is the meaning of life|Sing a song|What time is it|Who won the game|Write a Python function|Write code to sort a list|How old are you|What is 2 + 2|What is 17 times 3|Why is the sky blue|How do I fix {a} {n}|Where can I buy {a} {n}|What do you think about {n}|Draw {a} {n}|Play some music|Write an email to my boss|Do you like {n}|Who is {X}|Where is {X}|Tell me about {X}|Give me a recipe for {n}|Recommend a book|What is love|How far is the moon|Summarise this text|Tell me a story|What is the news today|What day is today|Can you dance|Do you dream]",
    refusal,
  ],
  [
    3,
    "[Delete all {n}s|Remove every {n}|Delete the {n} table|Drop the {n} table|Drop table {n}|Insert a new {n}|Add {a} {n} called {X}|Update the {n}|Change the {n} to {X}|Create a table for {n}s|Erase everything|Delete everything|Delete all data|Set every {n} to 0|Create a new table|Rename the {n} table|Delete all customers|Remove all orders|Delete the orders|Drop the customers table|Add a new customer|Insert a new order|Update the price of all products|Delete all products|Change the price of the products]",
    readOnly,
  ],
];

/** One exchange of small talk. */
export function smallTalk(random: Random, split: Split): SmallTalk {
  const [question, answer] = random.weighted(
    talks.map(([weight, prompt, reply]) => [weight, [prompt, reply]] as const),
  );
  const n = noun(random, split);
  const X = noun(random, split);
  const prompt = say(random, question, {
    n,
    a: /^[aeiou]/.test(n) ? "an" : "a",
    X: X.charAt(0).toUpperCase() + X.slice(1),
  });
  const mark = /^(Who|What|Which|How|Are|Can|Do|Why|Where)/.test(prompt)
    ? "?"
    : random.chance(0.3)
    ? "."
    : "";
  return { prompt: random.chance(0.8) ? prompt + mark : prompt.toLowerCase(), answer };
}
