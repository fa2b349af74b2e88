"""Makes glm.json: known answers for logistic regression, by statsmodels (no ridge) and scikit-learn (ridge).

    pip install numpy==2.4.6 scikit-learn==1.9.1 statsmodels==0.15.0 && python glm.py > glm.json
"""

import json

import numpy as np
import statsmodels.api as sm
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

rng = np.random.default_rng(20260729)
x = np.round(rng.normal(size=(200, 3)) @ np.array([[1, 0.5, 0], [0, 1, 0.3], [0, 0, 1]]), 4)
eta = 0.4 + x @ np.array([0.9, -0.5, 0.2])
y = (rng.random(200) < 1 / (1 + np.exp(-eta))).astype(int)
free = sm.Logit(y, sm.add_constant(x)).fit(disp=0, tol=1e-14)
cases = [{
    "ridge": 0.0,
    "coefficients": free.params.tolist(),
    "standard_errors": free.bse.tolist(),
    "p_values": free.pvalues.tolist(),
    "log_likelihood": float(free.llf),
    "null_log_likelihood": float(free.llnull),
}]
for ridge in (1.0, 25.0):
    model = LogisticRegression(C=1 / ridge, solver="newton-cholesky", tol=1e-12, max_iter=1000).fit(x, y)
    beta = np.concatenate([model.intercept_, model.coef_[0]])
    design = sm.add_constant(x)
    p = 1 / (1 + np.exp(-design @ beta))
    hessian = (design * (p * (1 - p))[:, None]).T @ design + ridge * np.diag([0.0, 1, 1, 1])
    cases.append({
        "ridge": ridge,
        "coefficients": beta.tolist(),
        "standard_errors": np.sqrt(np.diag(np.linalg.inv(hessian))).tolist(),
    })
score = np.round(x[:, 0], 1)
print(json.dumps({
    "made_by": "glm.py", "x": x.tolist(), "y": y.tolist(), "cases": cases,
    "auc_of_rounded_first_column": float(roc_auc_score(y, score)),
}))
