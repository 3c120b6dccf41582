package httpapi_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
)

// Row A9: an answer says whether the change is in force.
func TestAnswersSayWhetherTheChangeIsInForce(t *testing.T) {
	for _, late := range []bool{false, true} {
		a := newAPI(t)
		a.late = late
		made := a.create("p1", minimal)
		assert.Equal(t, !late, made.body["in_force"])
		path := base + "/" + made.id()
		assert.Equal(t, !late, a.send("GET", path, "").body["in_force"])
		assert.Equal(t, !late, a.send("PATCH", path, `{"enabled":false}`).body["in_force"])
		assert.Equal(t, !late, a.send("PATCH", path, `{}`).body["in_force"], "nothing to bring into force")
		rotated := a.send("POST", path+"/secret/rotate", "")
		assert.Equal(t, !late, rotated.body["in_force"])
		ended := a.send("DELETE", path+"/secret/previous", "")
		assert.Equal(t, late, ended.status == http.StatusAccepted)

		deleted := a.send("DELETE", path, "")
		if late {
			assert.Equal(t, http.StatusAccepted, deleted.status)
			assert.Equal(t, false, deleted.body["in_force"])
		} else {
			assert.Equal(t, http.StatusNoContent, deleted.status)
		}
		assert.Equal(t, http.StatusNotFound, a.send("GET", path, "").status, "it stands")
	}
}
