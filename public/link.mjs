// Asks how the number is and shows it; the page itself says everything else, in its language.
const EVERY_MS = 2000
const here = location.pathname.replace(/\/$/, '')
const by = (id) => document.getElementById(id)
const words = document.body.dataset
let expiresAt = 0
let failures = 0

const show = (id, visible) => {
  by(id).hidden = !visible
}

function showState({ status, qr_code, expires_in, pairing_code }) {
  const linked = status === 'connected'
  show('linked', linked)
  show('linking', !linked)
  const heading = by(linked ? 'linked' : 'linking').querySelector('h1').textContent
  document.title = document.title.replace(/^.*(?= – )/, heading)
  if (linked) return
  if (qr_code && by('qr').getAttribute('src') !== qr_code) by('qr').src = qr_code
  show('qr', Boolean(qr_code))
  show('waiting', !qr_code)
  expiresAt = qr_code ? Date.now() + expires_in * 1000 : 0
  show('pairing-code', Boolean(pairing_code))
  show('pairing-steps', Boolean(pairing_code))
  if (pairing_code) {
    by('pairing-code').textContent = pairing_code.replace(/^(.{4})(.{4})$/, '$1-$2')
    by('pairing-details').open = true
  }
  tellTime()
}

function tellTime() {
  const seconds = Math.ceil((expiresAt - Date.now()) / 1000)
  by('count').textContent = seconds > 0 ? words.validFor.replace('{s}', seconds) : ''
}

async function look() {
  try {
    const response = await fetch(`${here}/status`, { headers: { accept: 'application/json' }, cache: 'no-store' })
    if (response.status === 404) return end()
    if (!response.ok) throw new Error(String(response.status))
    const { link } = await response.json()
    failures = 0
    show('trouble', false)
    showState(link)
    setTimeout(look, link.status === 'connected' ? EVERY_MS * 5 : EVERY_MS)
  } catch {
    failures += 1
    show('trouble', failures > 2)
    setTimeout(look, Math.min(EVERY_MS * 2 ** failures, 30000))
  }
}

function end() {
  show('linking', false)
  show('linked', false)
  show('over', true)
}

async function askForCode(event) {
  event.preventDefault()
  const button = by('pairing-button')
  button.disabled = true
  by('pairing-trouble').textContent = words.patience
  try {
    const response = await fetch(`${here}/pairing-code`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json' },
      body: JSON.stringify({ phone_number: by('pairing-number').value }),
    })
    const { link } = await response.json()
    by('pairing-trouble').textContent = response.ok ? '' : response.status === 400 ? words.badNumber : words.noCode
    if (response.ok) showState(link)
  } catch {
    by('pairing-trouble').textContent = words.noCode
  }
  button.disabled = false
}

// A phone cannot scan its own screen.
by('pairing-details').open = matchMedia('(pointer: coarse)').matches
by('pairing').addEventListener('submit', askForCode)
setInterval(tellTime, 500)
look()
