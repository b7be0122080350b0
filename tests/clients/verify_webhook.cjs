// Verifies a delivery with the library standardwebhooks: {"secret", "headers", "body"} as JSON.

const { Webhook, WebhookVerificationError } = require(process.env.STANDARD_WEBHOOKS);

const delivery = JSON.parse(process.argv[2]);
try {
  new Webhook(delivery.secret).verify(delivery.body, delivery.headers);
  console.log("verified");
} catch (error) {
  if (!(error instanceof WebhookVerificationError)) throw error;
  console.log("refused");
}
