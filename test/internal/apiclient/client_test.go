package apiclient

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSeriesOfAMetricAreAddedUp(t *testing.T) {
	const text = "# HELP webhooks_endpoints x\nwebhooks_endpoints{kind=\"a\"} 2\nwebhooks_endpoints{kind=\"b\"} 3\nwebhooks_endpoints_broken 7\n"
	sum, err := sumOf(text, "webhooks_endpoints")
	require.NoError(t, err)
	assert.InDelta(t, 5, sum, 0)
	sum, err = sumOf(text, "webhooks_of_nobody_total")
	require.NoError(t, err)
	assert.Zero(t, sum, "it has not counted yet")
	_, err = sumOf(text, "webhooks_of_nobody")
	require.Error(t, err)
	_, err = sumOf("webhooks_endpoints many\n", "webhooks_endpoints")
	require.Error(t, err)
}
