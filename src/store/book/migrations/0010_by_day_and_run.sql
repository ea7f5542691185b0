-- What came is noted for every lead of a gas day, without reading the other years.
CREATE INDEX expectations_by_day ON expectations (day, zone, class);

-- Which runs documents name, without reading the documents.
CREATE INDEX documents_by_run ON documents (
    CASE WHEN json_valid(body) THEN json_extract(body, '$.forecast_run') END);
