// Calls AWS services through the proxy with the SDK for JavaScript, and prints what it shows.
//
//   node aws_sdks.mjs errors URL    the name, message and status of the error that each service's client throws
//   node aws_sdks.mjs delete URL    deletes one object with the bucket in the host, and with it in the path

import { lookup } from "node:dns";
import { Agent } from "node:http";
import { createRequire } from "node:module";

const require = createRequire(`${process.env.NODE_PATH}/`);
const [what, url] = process.argv.slice(2);

// Many systems find every name below localhost, and some do not.
const agent = new Agent({
  lookup: (host, options, done) => lookup(host.endsWith(".localhost") ? "localhost" : host, options, done),
});

function client(library, name, endpoint, settings = {}) {
  const credentials = { accessKeyId: "x", secretAccessKey: "x" };
  const requestHandler = { httpAgent: agent };
  const Client = require(`@aws-sdk/client-${library}`)[name];
  return new Client({ region: "eu-west-1", endpoint, credentials, maxAttempts: 1, requestHandler, ...settings });
}

async function errorOf(library, name, command, route) {
  const Command = require(`@aws-sdk/client-${library}`)[command];
  try {
    await client(library, name, `${url}/${route}`).send(new Command({}));
    return null;
  } catch (error) {
    return [error.name, error.message, error.$metadata?.httpStatusCode];
  }
}

if (what === "errors") {
  const shown = {
    s3: await errorOf("s3", "S3Client", "ListBucketsCommand", "s3"),
    sns: await errorOf("sns", "SNSClient", "ListTopicsCommand", "sns"),
    ec2: await errorOf("ec2", "EC2Client", "DescribeInstancesCommand", "ec2"),
    dynamodb: await errorOf("dynamodb", "DynamoDBClient", "ListTablesCommand", "dynamodb"),
    lambda: await errorOf("lambda", "LambdaClient", "ListFunctionsCommand", "lambda"),
    monitoring: await errorOf("cloudwatch", "CloudWatchClient", "ListMetricsCommand", "monitoring"),
  };
  console.log(JSON.stringify(shown));
} else {
  const { DeleteObjectCommand } = require("@aws-sdk/client-s3");
  for (const forcePathStyle of [false, true]) {
    const s3 = client("s3", "S3Client", url, { forcePathStyle });
    await s3.send(new DeleteObjectCommand({ Bucket: "photos", Key: "orders/a b" }));
  }
  console.log("deleted");
}
