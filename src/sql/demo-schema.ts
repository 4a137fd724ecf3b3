/** The schema a prompt is about when it brings none: a small shop. */

import type { Schema } from "./schema.ts";

export const demoSchema: Schema = {
  tables: [
    {
      name: "customers",
      singular: "customer",
      plural: "customers",
      columns: [
        { name: "id", type: "INTEGER", primaryKey: true },
        {
          name: "name",
          type: "TEXT",
          values: ["Ada Brook", "Ben Frost", "Cleo Marsh", "Dan Hill", "Eve Stone", "Finn Lake"],
        },
        {
          name: "email",
          type: "TEXT",
          values: ["ada@mail.test", "ben@mail.test", "cleo@post.test", "dan@post.test"],
        },
        {
          name: "city",
          type: "TEXT",
          values: ["Paris", "Berlin", "Oslo", "Madrid", "Rome", "London", "Lisbon", "Vienna"],
        },
        {
          name: "country",
          type: "TEXT",
          values: ["France", "Germany", "Norway", "Spain", "Italy", "Portugal", "Austria"],
        },
      ],
    },
    {
      name: "products",
      singular: "product",
      plural: "products",
      columns: [
        { name: "id", type: "INTEGER", primaryKey: true },
        {
          name: "name",
          type: "TEXT",
          values: ["Lamp", "Chair", "Desk", "Kettle", "Mug", "Rug", "Shelf", "Vase", "Clock"],
        },
        {
          name: "category",
          type: "TEXT",
          values: ["Kitchen", "Office", "Garden", "Toys", "Books", "Furniture"],
        },
        { name: "price", type: "REAL", range: [0, 200] },
        { name: "stock", type: "INTEGER", range: [0, 50] },
      ],
    },
    {
      name: "orders",
      singular: "order",
      plural: "orders",
      columns: [
        { name: "id", type: "INTEGER", primaryKey: true },
        { name: "customer_id", type: "INTEGER", references: "customers" },
        { name: "order_date", type: "DATE" },
        {
          name: "status",
          type: "TEXT",
          values: ["pending", "paid", "shipped", "delivered", "cancelled", "returned"],
        },
      ],
    },
    {
      name: "order_items",
      singular: "order item",
      plural: "order items",
      columns: [
        { name: "id", type: "INTEGER", primaryKey: true },
        { name: "order_id", type: "INTEGER", references: "orders" },
        { name: "product_id", type: "INTEGER", references: "products" },
        { name: "quantity", type: "INTEGER", range: [1, 10] },
        { name: "unit_price", type: "REAL", range: [1, 200] },
      ],
    },
  ],
};
