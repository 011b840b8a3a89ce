// The content security policy of the page allows no script inside it.
const collection = new URLSearchParams(location.search).get("collection");
const named = /^[a-z][a-z0-9-]{0,62}$/.test(collection ?? "");

window.ui = SwaggerUIBundle({
  url: named ? `collections/${collection}/openapi.json` : "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  docExpansion: "none",
  filter: true,
  defaultModelsExpandDepth: -1,
  displayRequestDuration: true,
  validatorUrl: "none",
});
