// The token stands behind the # of the address, where no server and no log sees it.
const by = (id) => document.getElementById(id)
const words = document.body.dataset
const token = location.hash.slice(1)

async function save(event) {
  event.preventDefault()
  const button = by('save')
  const password = by('password').value
  by('trouble').textContent = ''
  if (password !== by('again').value) {
    by('trouble').textContent = words.differ
    return
  }
  button.disabled = true
  try {
    const response = await fetch('/api/auth/reset-password', {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json' },
      body: JSON.stringify({ token, password }),
    })
    if (response.ok) {
      by('form').hidden = true
      by('done').hidden = false
    } else by('trouble').textContent = response.status === 401 ? words.over : words.failed
  } catch {
    by('trouble').textContent = words.failed
  }
  button.disabled = false
}

// The other language is another page, which needs the token too.
document.querySelector('header a').hash = token
if (token === '') {
  by('form').hidden = true
  by('trouble').textContent = words.over
}
by('form').addEventListener('submit', save)
