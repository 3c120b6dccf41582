package demo

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestTheStoryEndsWithCommandsOfTheProgramThatIsThere(t *testing.T) {
	var out strings.Builder
	place := Place{API: "http://127.0.0.1:1", NATS: "nats://127.0.0.1:2", Token: "token", Program: "./bin/dembrane-webhooks"}
	(&story{out: &out, place: place}).goOn("w1")
	for _, line := range []string{
		"  export DEMBRANE_TOKEN=token DEMBRANE_PROJECT=demo DEMBRANE_API=http://127.0.0.1:1 DEMBRANE_NATS=nats://127.0.0.1:2\n",
		"  ./bin/dembrane-webhooks listen http://localhost:3000/hook\n", "  ./bin/dembrane-webhooks send conversation.summarized\n",
		"  curl -s -X POST -H 'Authorization: Bearer token' http://127.0.0.1:1/api/projects/demo/webhooks/w1/test\n",
	} {
		assert.Contains(t, out.String(), line)
	}
	out.Reset()
	place.Program = ""
	(&story{out: &out, place: place}).goOn("w1")
	assert.NotContains(t, out.String(), "dembrane-webhooks", "as in an image")
}
