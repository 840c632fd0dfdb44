/** The few pages a person sees in a browser: plain HTML, no inline script or style, nothing from other hosts. */
export type Language = 'id' | 'en'

const escapes: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }
const escape = (text: string) => text.replace(/[&<>"']/g, (character) => escapes[character]!)

interface Page {
  language: Language
  title: string
  brand: string
  /** data-… of the body: what the script says. */
  words?: Record<string, string>
  script?: string
  body: string
}

function page({ language, title, brand, words = {}, script, body }: Page): string {
  const other = language === 'id' ? ['en', 'English'] : ['id', 'Bahasa Indonesia']
  const data = Object.entries(words).map(([name, text]) => ` data-${name}="${escape(text)}"`)
  return `<!doctype html>
<html lang="${language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex, nofollow">
<title>${escape(title)} – ${escape(brand)}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/pages/page.css">
${script ? `<script type="module" src="/pages/${script}"></script>` : ''}
</head>
<body${data.join('')}>
${script ? `<noscript><p class="bad">${language === 'id' ? 'Halaman ini memerlukan JavaScript.' : 'This page needs JavaScript.'}</p></noscript>` : ''}
<header><strong>${escape(brand)}</strong><a href="?lang=${other[0]}" lang="${other[0]}">${other[1]}</a></header>
<main>
${body}
</main>
</body>
</html>
`
}

interface LinkWords {
  title: string
  steps: string[]
  waiting: string
  valid: string
  linked: string
  linkedMore: string
  over: string
  overMore: string
  trouble: string
  pairingTitle: string
  pairingIntro: string
  pairingLabel: string
  pairingButton: string
  pairingSteps: string
  patience: string
  badNumber: string
  noCode: string
}

const LINK_WORDS: Record<Language, LinkWords> = {
  id: {
    title: 'Hubungkan WhatsApp',
    steps: [
      'Buka WhatsApp di ponsel Anda.',
      'Ketuk menu ⋮ (Android) atau Setelan (iPhone), lalu <b>Perangkat tertaut</b>.',
      'Ketuk <b>Tautkan perangkat</b> dan pindai kode ini.',
    ],
    waiting: 'Kode sedang disiapkan …',
    valid: 'Berlaku {s} detik lagi, lalu diganti otomatis.',
    linked: 'Terhubung',
    linkedMore: 'Nomor ini sudah terhubung. Anda boleh menutup halaman ini.',
    over: 'Tautan ini tidak berlaku lagi',
    overMore: 'Masa berlakunya habis, atau tautan ini sudah diganti. Minta tautan baru.',
    trouble: 'Koneksi ke server terputus; dicoba lagi …',
    pairingTitle: 'Tidak bisa memindai? Pakai kode',
    pairingIntro: 'Misalnya jika halaman ini terbuka di ponsel yang sama.',
    pairingLabel: 'Nomor WhatsApp Anda',
    pairingButton: 'Minta kode',
    pairingSteps:
      'Di ponsel: Perangkat tertaut → Tautkan perangkat → <b>Tautkan dengan nomor telepon saja</b>, lalu ketik kode ini.',
    patience: 'Tunggu sebentar …',
    badNumber: 'Nomor itu tidak dikenali. Tulis seperti 081234567890 atau +6281234567890.',
    noCode: 'Kode belum bisa dibuat. Coba lagi sebentar, atau pindai kode QR.',
  },
  en: {
    title: 'Link WhatsApp',
    steps: [
      'Open WhatsApp on your phone.',
      'Tap the menu ⋮ (Android) or Settings (iPhone), then <b>Linked devices</b>.',
      'Tap <b>Link a device</b> and scan this code.',
    ],
    waiting: 'The code is being made …',
    valid: 'Valid for {s} more seconds, then replaced by itself.',
    linked: 'Connected',
    linkedMore: 'This number is linked. You can close this page.',
    over: 'This link no longer works',
    overMore: 'It has expired or was replaced. Ask for a new one.',
    trouble: 'The connection to the server is lost; trying again …',
    pairingTitle: 'Cannot scan? Use a code',
    pairingIntro: 'For instance when this page is open on the same phone.',
    pairingLabel: 'Your WhatsApp number',
    pairingButton: 'Get a code',
    pairingSteps:
      'On the phone: Linked devices → Link a device → <b>Link with phone number instead</b>, then type this code.',
    patience: 'One moment …',
    badNumber: 'That is not a phone number. Write it like 081234567890 or +6281234567890.',
    noCode: 'There is no code yet. Try again in a moment, or scan the QR code.',
  },
}

export function linkPage(language: Language, brand: string, displayName: string): string {
  const w = LINK_WORDS[language]
  const words = { 'valid-for': w.valid, patience: w.patience, 'bad-number': w.badNumber, 'no-code': w.noCode }
  const body = `<section id="linking">
<h1>${w.title}</h1>
<p class="soft">${escape(displayName)}</p>
<div class="code"><img id="qr" alt="QR" hidden><div id="waiting"><div class="spinner"></div><p class="soft">${w.waiting}</p></div></div>
<p id="count" class="soft count" aria-live="off"></p>
<p id="trouble" class="bad" role="status" hidden>${w.trouble}</p>
<ol>${w.steps.map((step) => `<li>${step}</li>`).join('')}</ol>
<details id="pairing-details"><summary>${w.pairingTitle}</summary>
<p class="soft">${w.pairingIntro}</p>
<form id="pairing"><label for="pairing-number">${w.pairingLabel}</label>
<input id="pairing-number" name="phone_number" type="tel" inputmode="tel" autocomplete="tel" placeholder="081234567890" required>
<button id="pairing-button">${w.pairingButton}</button></form>
<p id="pairing-trouble" class="soft" role="status"></p>
<output id="pairing-code" hidden></output>
<p id="pairing-steps" class="soft" hidden>${w.pairingSteps}</p></details>
</section>
<section id="linked" class="done" role="status" hidden><div class="tick" aria-hidden="true">✓</div><h1>${w.linked}</h1><p>${w.linkedMore}</p></section>
<section id="over" class="done" role="status" hidden><h1>${w.over}</h1><p>${w.overMore}</p></section>`
  return page({ language, title: w.title, brand, words, script: 'link.mjs', body })
}

export function linkOverPage(language: Language, brand: string): string {
  const w = LINK_WORDS[language]
  const body = `<section class="done"><h1>${w.over}</h1><p>${w.overMore}</p></section>`
  return page({ language, title: w.over, brand, body })
}

const RESET_WORDS = {
  id: {
    title: 'Kata sandi baru',
    label: 'Kata sandi baru (minimal 8 karakter)',
    again: 'Sekali lagi',
    save: 'Simpan',
    done: 'Kata sandi sudah diganti. Silakan masuk dengan kata sandi baru.',
    differ: 'Kedua kata sandi tidak sama.',
    failed: 'Tidak berhasil. Coba lagi sebentar.',
    over: 'Tautan ini tidak lengkap, sudah dipakai, atau terlalu lama. Minta tautan baru.',
  },
  en: {
    title: 'New password',
    label: 'New password (at least 8 characters)',
    again: 'Once more',
    save: 'Save',
    done: 'The password is changed. Log in with the new one.',
    differ: 'The two passwords differ.',
    failed: 'That did not work. Try again in a moment.',
    over: 'This link is incomplete, was used, or is too old. Ask for a new one.',
  },
}

export function resetPage(language: Language, brand: string): string {
  const w = RESET_WORDS[language]
  const field = 'type="password" minlength="8" maxlength="200" autocomplete="new-password" required'
  const body = `<h1>${w.title}</h1>
<form id="form"><label for="password">${w.label}</label><input id="password" ${field}>
<label for="again">${w.again}</label><input id="again" ${field}>
<button id="save">${w.save}</button></form>
<p id="trouble" class="bad" role="alert"></p>
<p id="done" role="status" hidden>${w.done}</p>`
  return page({
    language,
    title: w.title,
    brand,
    words: { differ: w.differ, failed: w.failed, over: w.over },
    script: 'reset.mjs',
    body,
  })
}
