package registry

// table is one complete state of the bucket.
type table struct {
	webhooks map[string]*Webhook   // by id
	projects map[string][]*Webhook // by project; replaced, never changed in place
	deleted  map[string]uint64     // revision of the tombstone, by id
}

func newTable() *table {
	return &table{webhooks: map[string]*Webhook{}, projects: map[string][]*Webhook{}, deleted: map[string]uint64{}}
}

func (t *table) get(id string) *Webhook {
	if t == nil {
		return nil
	}
	return t.webhooks[id]
}

// newer reports whether more is known of a webhook than the revision holds.
func (t *table) newer(id string, revision uint64) bool {
	if t == nil {
		return false
	}
	if w := t.webhooks[id]; w != nil {
		return w.Revision > revision
	}
	return t.deleted[id] > revision
}

func (t *table) put(w *Webhook) {
	delete(t.deleted, w.ID)
	t.webhooks[w.ID] = w
	t.projects[w.ProjectID] = append(without(t.projects[w.ProjectID], w.ID), w)
}

func (t *table) remove(project, id string, revision uint64) {
	t.deleted[id] = revision
	delete(t.webhooks, id)
	rest := without(t.projects[project], id)
	if len(rest) == 0 {
		delete(t.projects, project)
		return
	}
	t.projects[project] = rest
}

// adopt takes over what another table knows of webhooks that this one does not.
func (t *table) adopt(other *table) {
	for id := range other.webhooks {
		t.adoptOne(other, id)
	}
	for id := range other.deleted {
		t.adoptOne(other, id)
	}
}

func (t *table) adoptOne(other *table, id string) {
	_, deleted := t.deleted[id]
	if deleted || t.webhooks[id] != nil {
		return
	}
	if w := other.webhooks[id]; w != nil {
		t.put(w)
	} else if revision, known := other.deleted[id]; known {
		t.deleted[id] = revision
	}
}

// without copies, so that a reader of the old slice is never disturbed.
func without(list []*Webhook, id string) []*Webhook {
	rest := make([]*Webhook, 0, len(list)+1)
	for _, w := range list {
		if w.ID != id {
			rest = append(rest, w)
		}
	}
	return rest
}
