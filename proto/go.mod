module github.com/dembrane/webhooks/proto

go 1.26

require google.golang.org/protobuf v1.36.12

require github.com/stretchr/testify v1.12.1 // indirect
