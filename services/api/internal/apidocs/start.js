"use strict";

SwaggerUIBundle({
  url: "/api/openapi.yaml",
  dom_id: "#api",
  // An operation that a link opens would lack the parameters that its path has.
  deepLinking: false,
  displayRequestDuration: true,
  // Nobody else is to be asked whether the document is valid, and no token is to stay behind.
  validatorUrl: null,
  persistAuthorization: false,
});
