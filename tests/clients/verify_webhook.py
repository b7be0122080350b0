"""Verifies a delivery with the library standardwebhooks: {"secret", "headers", "body"} as JSON."""

import json
import sys

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

delivery = json.loads(sys.argv[1])
try:
    Webhook(delivery["secret"]).verify(delivery["body"], delivery["headers"])
    print("verified")
except WebhookVerificationError:
    print("refused")
