// Swagger UI's time grows with the document: where there are many collections, it gets that of one.
const MANY = 10;

const params = new URLSearchParams(location.search);
const chosen = params.get("collection");

// Where keys are demanded, the reader types one; this tab remembers it until it is closed.
const REMEMBERED = "persist-key";
let key = sessionStorage.getItem(REMEMBERED);

const authorization = () => (key ? { Authorization: `Bearer ${key}` } : {});

// NDJSON is text of many lines; Swagger UI sees "json" in its name and would quote the example.
const linesAsTheyAre = {
  afterLoad() {
    const sample = this.fn.getSampleSchema;
    this.fn.getSampleSchema = (schema, type, config, example) =>
      type === "application/x-ndjson" && example ? example : sample(schema, type, config, example);
  },
};

// A list has a filter for each field and operator: those beyond equality are shown on demand.
const foldedFilters = ({ React: { createElement } }) => ({
  wrapComponents: {
    parameters: (Original) => (props) => {
      const folds = (props.parameters?.toJS?.() ?? []).filter(({ name }) => /__|^_/.test(name)).length;
      if (folds < 5) return createElement(Original, props);
      const toggle = ({ currentTarget: button }) => {
        const isFolded = button.parentElement.classList.toggle("folded");
        button.textContent = isFolded ? `Show ${folds} more filters` : "Show fewer filters";
      };
      return createElement(
        "div",
        { className: "folded" },
        createElement("button", { className: "fold", type: "button", onClick: toggle }, `Show ${folds} more filters`),
        createElement(Original, props),
      );
    },
  },
});

function typed(complaint) {
  const form = document.createElement("form");
  const label = document.createElement("label");
  label.textContent =
    "This service asks for a key. On its machine, `persist keys create --name you --scope '*:read'` makes one. " +
    "It stays in this tab, and what you see here is what it may do.";
  const field = document.createElement("input");
  field.type = "password";
  field.placeholder = "Key";
  field.autocomplete = "off";
  const button = document.createElement("button");
  button.textContent = "Show";
  form.append(label, field, button, ` ${complaint}`);
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
  while ((await fetch("./", { headers: authorization() })).status === 401) {
    key = await typed(key ? "This key is not known here." : "");
    sessionStorage.setItem(REMEMBERED, key);
  }
}

function show(url) {
  window.ui = SwaggerUIBundle({
    requestInterceptor: (request) => ({ ...request, headers: { ...authorization(), ...request.headers } }),
    onComplete: () => key && window.ui.preauthorizeApiKey("key", key),
    url,
    dom_id: "#swagger-ui",
    deepLinking: true,
    docExpansion: "none",
    filter: true,
    defaultModelsExpandDepth: -1,
    displayRequestDuration: true,
    validatorUrl: "none",
    plugins: [linesAsTheyAre, foldedFilters],
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
    item.append(link(name, `?collection=${name}`), ` ${description.split("\n")[0]}`);
    list.append(item);
  }
  search.addEventListener("input", () => {
    const wanted = search.value.toLowerCase();
    for (const item of list.children) item.hidden = !item.textContent.toLowerCase().includes(wanted);
  });
  const everything = document.createElement("p");
  everything.append(link("Everything in one document (slow)", "?collection="));
  document.getElementById("collections").append(search, list, everything);
}

async function start() {
  await admitted();
  if (/^[a-z][a-z0-9-]{0,62}$/.test(chosen ?? "")) {
    document.getElementById("collections").append(link("All collections", "?"));
    return show(`collections/${chosen}/openapi.json`);
  }
  const answer = chosen === null ? await fetch("collections", { headers: authorization() }) : null;
  const collections = answer?.ok ? (await answer.json()).items : [];
  return collections.length > MANY ? offer(collections) : show("openapi.json");
}

start();
