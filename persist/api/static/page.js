// Swagger UI's time grows with the document: where there are many collections, it gets that of one.
const MANY = 10;

const params = new URLSearchParams(location.search);
const chosen = params.get("collection");

// Where keys are demanded, the reader types one; this tab remembers it until it is closed.
const REMEMBERED = "persist-key";
let key = sessionStorage.getItem(REMEMBERED);

const shown = () => (key ? { Authorization: `Bearer ${key}` } : {});

// NDJSON is text of many lines; Swagger UI sees "json" in its name and would quote the example.
const linesAsTheyAre = {
  afterLoad() {
    const sample = this.fn.getSampleSchema;
    this.fn.getSampleSchema = (schema, type, config, example) =>
      type === "application/x-ndjson" && example ? example : sample(schema, type, config, example);
  },
};

function typed(complaint) {
  const form = document.createElement("form");
  const field = document.createElement("input");
  field.type = "password";
  field.placeholder = "Key";
  field.autocomplete = "off";
  const button = document.createElement("button");
  button.textContent = "Show";
  form.append(field, button, ` ${complaint}`);
  document.getElementById("collections").append(form);
  field.focus();
  return new Promise((resolve) => {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      form.remove();
      resolve(field.value.trim());
    });
  });
}

async function admitted() {
  while ((await fetch("./", { headers: shown() })).status === 401) {
    key = await typed(key ? "This key is not known here." : "This service demands a key: persist keys create");
    sessionStorage.setItem(REMEMBERED, key);
  }
}

function show(url) {
  window.ui = SwaggerUIBundle({
    requestInterceptor: (request) => ({ ...request, headers: { ...shown(), ...request.headers } }),
    onComplete: () => key && window.ui.preauthorizeApiKey("key", key),
    url,
    dom_id: "#swagger-ui",
    deepLinking: true,
    docExpansion: "none",
    filter: true,
    defaultModelsExpandDepth: -1,
    displayRequestDuration: true,
    validatorUrl: "none",
    plugins: [linesAsTheyAre],
  });
}

function link(text, address) {
  const made = document.createElement("a");
  made.textContent = text;
  made.href = address;
  return made;
}

function offer(collections) {
  const search = document.createElement("input");
  search.type = "search";
  search.placeholder = `Filter ${collections.length} collections`;
  const list = document.createElement("ul");
  for (const { name, description } of collections) {
    const item = document.createElement("li");
    item.append(link(name, `?collection=${name}`), ` ${description}`);
    list.append(item);
  }
  search.addEventListener("input", () => {
    for (const item of list.children) item.hidden = !item.textContent.includes(search.value);
  });
  const whole = document.createElement("p");
  whole.append(link("Everything in one document (slow)", "?collection="));
  document.getElementById("collections").append(search, list, whole);
}

async function start() {
  await admitted();
  if (/^[a-z][a-z0-9-]{0,62}$/.test(chosen ?? "")) {
    document.getElementById("collections").append(link("All collections", "?"));
    return show(`collections/${chosen}/openapi.json`);
  }
  const answer = chosen === null ? await fetch("collections", { headers: shown() }) : null;
  const collections = answer?.ok ? (await answer.json()).items : [];
  return collections.length > MANY ? offer(collections) : show("openapi.json");
}

start();
