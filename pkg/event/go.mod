module github.com/dembrane/webhooks/pkg/event

go 1.26.0

require (
	github.com/dembrane/webhooks/proto v0.1.0
	github.com/go-json-experiment/json v1.27.2
	github.com/stretchr/testify v1.12.1
	google.golang.org/protobuf v1.36.12
)

require go.yaml.in/yaml/v3 v3.0.5 // indirect

replace github.com/dembrane/webhooks/proto => ../../proto
