// Swagger UI's time grows with the document: where there are many collections, it gets that of one.
const MANY = 10;

const params = new URLSearchParams(location.search);
const chosen = params.get("collection");

// NDJSON is text of many lines; Swagger UI sees "json" in its name and would quote the example.
const linesAsTheyAre = {
  afterLoad() {
    const sample = this.fn.getSampleSchema;
    this.fn.getSampleSchema = (schema, type, config, example) =>
      type === "application/x-ndjson" && example ? example : sample(schema, type, config, example);
  },
};

function show(url) {
  window.ui = SwaggerUIBundle({
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
  if (/^[a-z][a-z0-9-]{0,62}$/.test(chosen ?? "")) {
    document.getElementById("collections").append(link("All collections", "?"));
    return show(`collections/${chosen}/openapi.json`);
  }
  const answer = chosen === null ? await fetch("collections") : null;
  const collections = answer?.ok ? (await answer.json()).items : [];
  return collections.length > MANY ? offer(collections) : show("openapi.json");
}

start();
