/** Everyday questions about the demo shop, with the SQL that answers each. */

import type { Random } from "./random.ts";
import { type Question, say } from "./phrase.ts";

const customersOrders = "orders JOIN customers ON orders.customer_id = customers.id";
const itemsProducts = "order_items JOIN products ON order_items.product_id = products.id";
const itemsOrders = "order_items JOIN orders ON order_items.order_id = orders.id";
const itemsCustomers = `${itemsOrders} JOIN customers ON orders.customer_id = customers.id`;
const revenue = "SUM(order_items.quantity * order_items.unit_price)";

const plain = "SELECT SUM(quantity * unit_price) FROM order_items";

/** Kind, phrasings, SQL; {k} is a small number, {y} a year. */
const questions: readonly (readonly [string, string, string])[] = [
  [
    "join_group",
    "[How many orders did each customer place|How many orders has each customer placed|How many orders did every customer make|Count orders per customer|Number of orders by customer|How many orders does each customer have|Show how many orders each customer made|orders per customer]",
    `SELECT customers.name, COUNT(*) FROM ${customersOrders} GROUP BY customers.id`,
  ],
  [
    "join_top",
    "[Which customer placed the most orders|Who placed the most orders|Which customer has the most orders|Who is the customer with the most orders|Who ordered most often|Which customer ordered the most often]",
    `SELECT customers.name FROM ${customersOrders} GROUP BY customers.id ORDER BY COUNT(*) DESC LIMIT 1`,
  ],
  [
    "arithmetic",
    "[What is the total revenue|What is our total revenue|How much revenue did we make|How much money did we make|What is the total value of all orders|What are our total sales|How much did we sell in total|Total revenue|What is the revenue]",
    plain,
  ],
  [
    "join_group",
    "[What is the revenue per product|Revenue by product|How much revenue did each product make|Show the total revenue of each product|Total sales per product|How much did we earn with each product]",
    `SELECT products.name, ${revenue} FROM ${itemsProducts} GROUP BY products.id`,
  ],
  [
    "join_group",
    "[What is the revenue per category|Revenue by category|How much revenue did each category make|Show the total revenue of each product category|Total sales per category|Sales by product category]",
    `SELECT products.category, ${revenue} FROM ${itemsProducts} GROUP BY products.category`,
  ],
  [
    "three_tables",
    "[How much did each customer spend|What is the revenue per customer|Total spending per customer|How much money has each customer spent|Show the total amount spent by each customer|Revenue by customer]",
    `SELECT customers.name, ${revenue} FROM ${itemsCustomers} GROUP BY customers.id`,
  ],
  [
    "three_tables",
    "[Which customer spent the most|Who spent the most money|Who is our best customer|Which customer brought the most revenue|Who spent the most|Who are our best customers]",
    `SELECT customers.name FROM ${itemsCustomers} GROUP BY customers.id ORDER BY ${revenue} DESC LIMIT 1`,
  ],
  [
    "three_tables",
    "[Who are the {k} customers who spent the most|Show the top {k} customers by revenue|Top {k} customers by spending|Which {k} customers spent the most money|List the {k} best customers]",
    `SELECT customers.name FROM ${itemsCustomers} GROUP BY customers.id ORDER BY ${revenue} DESC LIMIT {k}`,
  ],
  [
    "three_tables",
    "[What is the revenue per country|Revenue by country|How much did we sell in each country|Total sales per country|Show the revenue for each country]",
    `SELECT customers.country, ${revenue} FROM ${itemsCustomers} GROUP BY customers.country`,
  ],
  [
    "three_tables",
    "[What is the revenue per city|Revenue by city|How much did we sell in each city|Total sales per city]",
    `SELECT customers.city, ${revenue} FROM ${itemsCustomers} GROUP BY customers.city`,
  ],
  [
    "join_top",
    "[What is the best-selling product|Which product sells best|What is our best selling product|Which product was sold most often|What product is the most popular|Which product is the most popular|What is the most popular product|Which product sold the most]",
    `SELECT products.name FROM ${itemsProducts} GROUP BY products.id ORDER BY SUM(order_items.quantity) DESC LIMIT 1`,
  ],
  [
    "join_top",
    "[What are the {k} best-selling products|Show the top {k} products|Which {k} products sell best|List the {k} most popular products|Top {k} products by quantity sold|What are our {k} best selling products]",
    `SELECT products.name FROM ${itemsProducts} GROUP BY products.id ORDER BY SUM(order_items.quantity) DESC LIMIT {k}`,
  ],
  [
    "join_top",
    "[Which product made the most revenue|Which product brings the most revenue|What product earned the most|Which product has the highest revenue]",
    `SELECT products.name FROM ${itemsProducts} GROUP BY products.id ORDER BY ${revenue} DESC LIMIT 1`,
  ],
  [
    "join_group",
    "[How many units of each product were sold|How often was each product sold|How many of each product did we sell|Units sold per product|Quantity sold by product|Show the quantity sold of each product]",
    `SELECT products.name, SUM(order_items.quantity) FROM ${itemsProducts} GROUP BY products.id`,
  ],
  [
    "where_compare",
    "[Which products are out of stock|Show products that are out of stock|What is out of stock|List all sold out products|Which products are sold out|Which products have no stock left|What products do we have no stock of]",
    "SELECT * FROM products WHERE stock = 0",
  ],
  [
    "where_compare",
    "[Which products are in stock|Show products that are in stock|What is in stock|List all available products|Which products are available]",
    "SELECT * FROM products WHERE stock > 0",
  ],
  [
    "limit",
    "[What is the most expensive product|Which product is the most expensive|Which product costs the most|Show the most expensive product|What is our priciest product]",
    "SELECT * FROM products ORDER BY price DESC LIMIT 1",
  ],
  [
    "limit",
    "[What is the cheapest product|Which product is the cheapest|Which product costs the least|Show the cheapest product]",
    "SELECT * FROM products ORDER BY price LIMIT 1",
  ],
  [
    "limit",
    "[What are the {k} most expensive products|Show the {k} most expensive products|List the {k} priciest products|Which {k} products cost the most]",
    "SELECT * FROM products ORDER BY price DESC LIMIT {k}",
  ],
  [
    "limit",
    "[What are the {k} cheapest products|Show the {k} cheapest products|List the {k} cheapest products|Which {k} products cost the least]",
    "SELECT * FROM products ORDER BY price LIMIT {k}",
  ],
  [
    "where_compare",
    "[Which products cost more than {v}|Show products that cost more than {v}|List products more expensive than {v}|What products cost over {v}|Products over {v}|Which products cost over {v} euros]",
    "SELECT * FROM products WHERE price > {v}",
  ],
  [
    "where_compare",
    "[Which products cost less than {v}|Show products that cost less than {v}|List products cheaper than {v}|What products cost under {v}|Products under {v}|Which products can I buy for less than {v}]",
    "SELECT * FROM products WHERE price < {v}",
  ],
  [
    "between",
    "[Which products cost between {v} and {x}|Show products that cost between {v} and {x}|Products from {v} to {x}|List products priced between {v} and {x}]",
    "SELECT * FROM products WHERE price BETWEEN {v} AND {x}",
  ],
  [
    "aggregate",
    "[What does a product cost on average|What is the average price|How much does a product cost on average|What is the average product price|Average price of products]",
    "SELECT AVG(price) FROM products",
  ],
  [
    "group_by",
    "[What is the average price per category|Average price by category|How much does a product cost on average in each category|What is the average price in each category]",
    "SELECT category, AVG(price) FROM products GROUP BY category",
  ],
  [
    "aggregate",
    "[How many items do we have in stock|How many items are in stock|What is the total stock|How much stock do we have]",
    "SELECT SUM(stock) FROM products",
  ],
  [
    "arithmetic",
    "[What is the value of our stock|How much is our stock worth|What is the total value of the stock|What is our inventory worth]",
    "SELECT SUM(price * stock) FROM products",
  ],
  [
    "exists",
    "[Which customers never ordered|Which customers have never ordered anything|Who has never placed an order|Which customers have not placed any orders|Show customers who never ordered|List customers without orders|Who never ordered anything|Which customers did not order anything]",
    "SELECT * FROM customers WHERE NOT EXISTS (SELECT 1 FROM orders WHERE orders.customer_id = customers.id)",
  ],
  [
    "exists",
    "[Which products were never ordered|Which products have never been sold|Which products were never sold|Show products nobody ordered|What products did nobody buy|Which products did nobody order]",
    "SELECT * FROM products WHERE NOT EXISTS (SELECT 1 FROM order_items WHERE order_items.product_id = products.id)",
  ],
  [
    "join_having",
    "[Which customers placed more than {k} orders|Who placed more than {k} orders|Show customers who ordered more than {k} times|Which customers ordered more than {k} times|Who ordered more than {k} times]",
    `SELECT customers.name FROM ${customersOrders} GROUP BY customers.id HAVING COUNT(*) > {k}`,
  ],
  [
    "date",
    "[How many orders were placed in {y}|How many orders did we get in {y}|How many orders were there in {y}|Count the orders from {y}|Number of orders in {y}|How many orders did we have in {y}]",
    "SELECT COUNT(*) FROM orders WHERE strftime('%Y', order_date) = '{y}'",
  ],
  [
    "date",
    "[Show all orders from {y}|Which orders were placed in {y}|List the orders of {y}|Show me the orders placed in {y}|Orders in {y}]",
    "SELECT * FROM orders WHERE strftime('%Y', order_date) = '{y}'",
  ],
  [
    "date",
    "[How many orders were placed each month|How many orders were there per month|Orders per month|Show the number of orders by month|How many orders do we get each month|How many orders per month]",
    "SELECT strftime('%Y-%m', order_date), COUNT(*) FROM orders GROUP BY strftime('%Y-%m', order_date)",
  ],
  [
    "date",
    "[How many orders were placed each year|How many orders were there per year|Orders per year|Show the number of orders by year|How many orders do we get every year]",
    "SELECT strftime('%Y', order_date), COUNT(*) FROM orders GROUP BY strftime('%Y', order_date)",
  ],
  [
    "date",
    "[What is the revenue per month|Revenue by month|Show monthly revenue|How much revenue did we make each month|Monthly sales|Sales per month]",
    `SELECT strftime('%Y-%m', orders.order_date), ${revenue} FROM ${itemsOrders} GROUP BY strftime('%Y-%m', orders.order_date)`,
  ],
  [
    "date",
    "[What is the revenue per year|Revenue by year|Show yearly revenue|How much revenue did we make each year|Sales per year]",
    `SELECT strftime('%Y', orders.order_date), ${revenue} FROM ${itemsOrders} GROUP BY strftime('%Y', orders.order_date)`,
  ],
  [
    "date",
    "[What was the revenue in {y}|How much revenue did we make in {y}|How much did we sell in {y}|Total sales in {y}|Revenue in {y}]",
    `SELECT ${revenue} FROM ${itemsOrders} WHERE strftime('%Y', orders.order_date) = '{y}'`,
  ],
  [
    "limit",
    "[What is the latest order|What was the last order|Show the most recent order|Which order is the newest|Show the latest order|When was the last order]",
    "SELECT * FROM orders ORDER BY order_date DESC LIMIT 1",
  ],
  [
    "limit",
    "[What was the first order|Show the oldest order|Which order is the oldest|What is our first order]",
    "SELECT * FROM orders ORDER BY order_date LIMIT 1",
  ],
  [
    "limit",
    "[Show the last {k} orders|What are the {k} latest orders|Show the {k} most recent orders|List the {k} newest orders]",
    "SELECT * FROM orders ORDER BY order_date DESC LIMIT {k}",
  ],
  [
    "group_by",
    "[How many orders are there per status|How many orders have each status|Orders by status|Count orders by status|How many orders are in each status]",
    "SELECT status, COUNT(*) FROM orders GROUP BY status",
  ],
  [
    "where_equal",
    "[Show all {s} orders|Which orders are {s}|List the {s} orders|Which orders have been {s}|Show me the {s} orders|Show orders that are {s}]",
    "SELECT * FROM orders WHERE status = '{s}'",
  ],
  [
    "count",
    "[How many orders are {s}|How many orders were {s}|Count the {s} orders|How many {s} orders are there|How many {s} orders do we have]",
    "SELECT COUNT(*) FROM orders WHERE status = '{s}'",
  ],
  [
    "where_equal",
    "[Which customers are from {c}|Which customers live in {c}|Show customers from {c}|List all customers in {c}|Who lives in {c}|Show me the customers from {c}|Show all customers living in {c}|Customers in {c}|Who is from {c}]",
    "SELECT * FROM customers WHERE city = '{c}'",
  ],
  [
    "count",
    "[How many customers are from {c}|How many customers live in {c}|How many customers do we have in {c}|Count the customers in {c}|How many customers are in {c}]",
    "SELECT COUNT(*) FROM customers WHERE city = '{c}'",
  ],
  [
    "count",
    "[How many customers do we have|How many customers are there|Count customers|How many clients do we have|Number of customers]",
    "SELECT COUNT(*) FROM customers",
  ],
  [
    "count",
    "[How many products do we sell|How many products are there|How many products do we have|Count products|Number of products]",
    "SELECT COUNT(*) FROM products",
  ],
  [
    "count",
    "[How many orders do we have|How many orders are there|How many orders were placed|Count orders|How many orders have been placed|Number of orders]",
    "SELECT COUNT(*) FROM orders",
  ],
  [
    "group_by",
    "[How many customers are there per city|How many customers live in each city|Customers per city|Customers by city|How many customers do we have in each city]",
    "SELECT city, COUNT(*) FROM customers GROUP BY city",
  ],
  [
    "group_by",
    "[How many customers are there per country|How many customers live in each country|Customers per country|Customers by country|How many customers do we have in each country]",
    "SELECT country, COUNT(*) FROM customers GROUP BY country",
  ],
  [
    "group_top",
    "[Which city has the most customers|Where do most customers live|In which city do most customers live|What city has the most customers|Where do most of our customers live]",
    "SELECT city FROM customers GROUP BY city ORDER BY COUNT(*) DESC LIMIT 1",
  ],
  [
    "group_top",
    "[Which country has the most customers|In which country do most customers live|What country has the most customers|Which country do most customers come from]",
    "SELECT country FROM customers GROUP BY country ORDER BY COUNT(*) DESC LIMIT 1",
  ],
  [
    "distinct",
    "[Which cities do our customers live in|What cities are our customers from|Where do our customers live|List the cities of our customers|Which cities are there]",
    "SELECT DISTINCT city FROM customers",
  ],
  [
    "distinct",
    "[Which countries do our customers live in|What countries are our customers from|List the countries of our customers|Which countries do we sell to]",
    "SELECT DISTINCT country FROM customers",
  ],
  [
    "distinct",
    "[Which categories are there|What categories of products do we have|What product categories are there|List all categories|Which product categories exist|What kinds of products do we sell]",
    "SELECT DISTINCT category FROM products",
  ],
  [
    "group_by",
    "[How many products are in each category|How many products are there per category|Products per category|Number of products by category]",
    "SELECT category, COUNT(*) FROM products GROUP BY category",
  ],
  [
    "where_equal",
    "[Which products are in the {g} category|Show all {g} products|List products in category {g}|What {g} products do we have|Which products belong to {g}|Show products from the {g} category]",
    "SELECT * FROM products WHERE category = '{g}'",
  ],
  [
    "join_filter",
    "[Show the orders of customers from {c}|Which orders come from {c}|List orders placed by customers from {c}|Show all orders from {c}|Show orders by customers who live in {c}]",
    `SELECT orders.* FROM ${customersOrders} WHERE customers.city = '{c}'`,
  ],
  [
    "join_filter",
    "[How many orders come from {c}|How many orders did customers from {c} place|How many orders were placed by customers in {c}|How many orders did we get from {c}]",
    `SELECT COUNT(*) FROM ${customersOrders} WHERE customers.city = '{c}'`,
  ],
  [
    "join_filter",
    "[Show the orders of {p}|What did {p} order|Which orders did {p} place|List all orders of {p}|Show all orders placed by {p}]",
    `SELECT orders.* FROM ${customersOrders} WHERE customers.name = '{p}'`,
  ],
  [
    "join_filter",
    "[How many orders did {p} place|How often did {p} order|How many orders has {p} placed|How many orders does {p} have]",
    `SELECT COUNT(*) FROM ${customersOrders} WHERE customers.name = '{p}'`,
  ],
  [
    "three_tables",
    "[How much did {p} spend|How much money did {p} spend|How much has {p} spent|What is the total spending of {p}]",
    `SELECT ${revenue} FROM ${itemsCustomers} WHERE customers.name = '{p}'`,
  ],
  [
    "where_equal",
    "[What is the email of {p}|What is the email address of {p}|Show the email of {p}|How can I reach {p}|Give me the email of {p}]",
    "SELECT email FROM customers WHERE name = '{p}'",
  ],
  [
    "where_equal",
    "[How much does the {d} cost|What is the price of the {d}|How expensive is the {d}|What does the {d} cost|Price of the {d}]",
    "SELECT price FROM products WHERE name = '{d}'",
  ],
  [
    "join",
    "[Show each order with the name of its customer|List orders with customer names|Who placed each order|Show all orders with the customer name|Show the orders and who placed them]",
    `SELECT orders.id, customers.name FROM ${customersOrders}`,
  ],
  [
    "where_compare",
    "[Which products are almost out of stock|Which products have less than {k} in stock|Show products with fewer than {k} in stock|Which products have a stock below {k}]",
    "SELECT * FROM products WHERE stock < {k}",
  ],
  [
    "subquery",
    "[Which products are more expensive than average|Which products cost more than the average|Show products that cost more than average|Products above the average price]",
    "SELECT * FROM products WHERE price > (SELECT AVG(price) FROM products)",
  ],
  [
    "subquery",
    "[Which products are cheaper than average|Which products cost less than the average|Show products that cost less than average]",
    "SELECT * FROM products WHERE price < (SELECT AVG(price) FROM products)",
  ],
  [
    "order_by",
    "[List products by price|Show all products sorted by price|Show the products from cheapest to most expensive|Products ordered by price]",
    "SELECT * FROM products ORDER BY price",
  ],
  [
    "order_by",
    "[Show the products from most expensive to cheapest|List products by descending price|List the products, most expensive first]",
    "SELECT * FROM products ORDER BY price DESC",
  ],
  [
    "like",
    "[Which customers have a {m} email|Show customers whose email ends with {m}|List customers with an email at {m}]",
    "SELECT * FROM customers WHERE email LIKE '%{m}'",
  ],
  [
    "arithmetic",
    "[What is the value of each order item|Show the total price of each order item|How much is each order item worth]",
    "SELECT id, quantity * unit_price FROM order_items",
  ],
  [
    "join_group",
    "[What is the total of each order|What is the value of each order|How much is each order worth|Show the total price of each order|Order totals]",
    "SELECT order_id, SUM(quantity * unit_price) FROM order_items GROUP BY order_id",
  ],
  [
    "group_by",
    "[How many items does each order have|How many items are in each order|Number of items per order|Count the items of each order]",
    "SELECT order_id, COUNT(*) FROM order_items GROUP BY order_id",
  ],
];

/** Values the questions name; any text does. */
export interface DemoValues {
  readonly person: string;
  readonly city: string;
  readonly product: string;
  readonly category: string;
  readonly status: string;
}

/** A question about the demo shop. `ordered` follows from the SQL's own ORDER BY. */
export function demoQuestion(random: Random, values: DemoValues): Question {
  const [kind, question, sql] = random.pick(questions);
  // A small threshold means itself in "almost out of stock", which names none.
  const almost = question.includes("almost") && random.chance(0.2);
  const k = almost ? "5" : String(random.int(2, 12));
  const v = random.int(1, 40) * 5;
  const slots: Record<string, string> = {
    k,
    v: String(v),
    x: String(v + random.int(1, 20) * 5),
    y: String(random.int(2016, 2025)),
    s: values.status,
    c: values.city,
    p: values.person,
    d: values.product,
    g: values.category,
    m: random.pick(["mail.test", "post.test", "example.com", ".org", ".com"]),
  };
  const wording = almost
    ? "Which products are almost out of stock"
    : question.replace(/Which products are almost out of stock\|/, "");
  return {
    kind,
    question: say(random, wording, slots),
    sql: say(random, sql, slots),
    ordered: sql.includes("ORDER BY"),
  };
}
