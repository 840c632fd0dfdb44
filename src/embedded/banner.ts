interface Started {
  url: string
  seconds: string
  data_dir: string
}

/** What to do next, for somebody who has just started everything for the first time. */
export function banner({ url, seconds, data_dir }: Started): string {
  return `
WhatsApp SaaS API answers at ${url} after ${seconds} s.
  Engine: two sandbox Evolution servers; no message leaves this machine, QR codes are scanned by themselves.
  Data:   ${data_dir} (kept when you stop with Ctrl-C)

Try it, line by line, in another terminal:

API=${url}/api
API_KEY=$(curl -s $API/auth/register -H 'content-type: application/json' \\
  -d '{"email":"me'$RANDOM'@example.com","password":"SecurePass123!","full_name":"Me"}' \\
  | sed 's/.*"api_key":"\\([^"]*\\)".*/\\1/'); echo "$API_KEY"
TOKEN=$(curl -s $API/phone-numbers/create -H "x-api-key: $API_KEY" -H 'content-type: application/json' \\
  -d '{"display_name":"Customer Service"}' | sed 's/.*"token":"\\([^"]*\\)".*/\\1/'); echo "$TOKEN"
sleep 6      # by then the sandbox has scanned the QR code, as you would with a phone
curl -s $API/messages/send-text -H "x-api-key: $API_KEY" -H 'content-type: application/json' \\
  -d '{"token":"'$TOKEN'","number":"628000000001","text":"Hello"}'; echo      # this recipient answers
curl -s $API/dashboard -H "x-api-key: $API_KEY"; echo

Or every call at once: ./test-api.sh ${url}
`
}
